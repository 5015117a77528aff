"""Whatever a client sends is a request that the engine takes, or refused."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aliases.target import Target
from hugweb.api.body import parse
from hugweb.api.openai.chat.requests import ChatBody
from hugweb.api.openai.completions.requests import CompletionBody
from hugweb.api.openai.embeddings.requests import EmbeddingBody
from hugweb.api.openai.images.requests import EditBody, ImageBody
from hugweb.api.openai.responses.items import DescribedItem, Item
from hugweb.api.openai.responses.requests import ResponseBody
from hugweb.api.openai.responses.response import new_response
from hugweb.api.openai.stored.ids import new_response_id
from inference.errors import InferenceError
from inference.models import ModelRecord
from inference.protocol import LENGTH_BYTES, REQUESTS, Detokenize, ModelRef, frame

TARGET = Target(
    "huggingface",
    ModelRef(name="test/able", path="able"),
    ModelRecord(
        name="test/able",
        capabilities=["completion", "tools", "thinking", "vision", "audio", "insert", "image"],
    ),
)

words = st.sampled_from(
    [
        "user",
        "assistant",
        "tool",
        "text",
        "function",
        "message",
        "json_schema",
        "auto",
        "required",
        "",
        "\x00",
        "é",
    ]
)
scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | words
keys = st.sampled_from(
    [
        "type",
        "role",
        "content",
        "text",
        "function",
        "name",
        "arguments",
        "parameters",
        "image_url",
        "url",
        "id",
        "tool_calls",
        "schema",
        "format",
        "json_schema",
        "summary",
        "output",
        "effort",
        "mode",
        "tools",
        "1",
        "18446744073709551616",
        "$ref",
    ]
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=8,
)
messages = st.lists(st.fixed_dictionaries({"role": words, "content": values}), max_size=3)
items = st.lists(st.fixed_dictionaries({"type": words, "role": words, "content": values}), max_size=3)


@st.composite
def bodies(draw: st.DrawFn, kind: type[msgspec.Struct], **likely: st.SearchStrategy[Any]) -> dict[str, Any]:
    """What is likely, and two fields of ``kind`` that are anything."""
    names = draw(st.lists(st.sampled_from(kind.__struct_fields__), max_size=2))
    return {name: draw(some) for name, some in likely.items()} | {name: draw(values) for name in names}


def sent(body: dict[str, Any]) -> bytes:
    return json.dumps(body).encode()


def check(*requests: Any) -> None:
    """The engine's side takes each of ``requests``."""
    for request in requests:
        assert REQUESTS.decode(frame(request)[LENGTH_BYTES:]) == request


@given(bodies(ChatBody, messages=messages))
def test_chat(body: dict[str, Any]) -> None:
    try:
        check(parse(sent(body), ChatBody).request(TARGET))
    except InferenceError as error:
        assert error.status == 400


@given(bodies(CompletionBody, prompt=words | st.lists(st.integers(-1, 2**70))))
def test_completions(body: dict[str, Any]) -> None:
    try:
        check(*parse(sent(body), CompletionBody).requests(TARGET))
    except InferenceError as error:
        assert error.status == 400


@given(bodies(ResponseBody, input=words | items))
def test_responses(body: dict[str, Any]) -> None:
    try:
        ours = parse(sent(body), ResponseBody)
        id = new_response_id()
        request = ours.request(TARGET, ours.items(id), [])
        check(request)
        assert msgspec.json.decode(msgspec.json.encode(new_response(id, ours, request)))
    except InferenceError as error:
        assert error.status == 400


def test_items_are_described_with_all_their_fields() -> None:
    assert DescribedItem.__struct_fields__ == Item.__struct_fields__


@given(bodies(ImageBody, prompt=words))
def test_images(body: dict[str, Any]) -> None:
    try:
        check(parse(sent(body), ImageBody).request(TARGET))
    except InferenceError as error:
        assert error.status == 400


@given(bodies(EditBody, prompt=words))
def test_edits(body: dict[str, Any]) -> None:
    try:
        ours = parse(sent(body), EditBody)
        check(ours.request(TARGET, ours.pictures({})))
    except InferenceError as error:
        assert error.status == 400


@given(bodies(EmbeddingBody, input=words | st.lists(words) | st.lists(st.integers(-1, 2**70))))
def test_embeddings(body: dict[str, Any]) -> None:
    try:
        check(
            *(
                Detokenize(model=TARGET.model, tokens=one)
                for one in parse(sent(body), EmbeddingBody).inputs()
                if isinstance(one, tuple)
            )
        )
    except InferenceError as error:
        assert error.status == 400


@pytest.mark.parametrize("kind", [ChatBody, CompletionBody, ResponseBody, ImageBody, EmbeddingBody])
@given(st.binary(max_size=100))
def test_any_bytes_are_a_body_or_refused(kind: type[msgspec.Struct], body: bytes) -> None:
    try:
        parse(body, kind)
    except InferenceError as error:
        assert error.status == 400
