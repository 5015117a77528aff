"""Whatever is sent to Ollama's and Anthropic's APIs is a request that the engine takes, or refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aliases.services import Settings
from aliases.target import Target
from hugweb.api.anthropic.requests import MessagesBody, messages_request
from hugweb.api.body import parse
from hugweb.api.ollama.aliasing import CreateBody, settings_of
from hugweb.api.ollama.capabilities import check_chat, check_draw, check_generate
from hugweb.api.ollama.requests import ChatBody, GenerateBody, chat_request, draw_request, generate_request
from hugweb.api.ollama.requests import parse as parse_ollama
from inference.errors import InferenceError
from inference.models import ModelRecord
from inference.protocol import LENGTH_BYTES, REQUESTS, Message, ModelRef, Request, frame

ABLE = ["completion", "tools", "thinking", "vision", "audio", "insert", "image"]
TARGET = Target(
    "huggingface",
    ModelRef(name="test/able", path="able"),
    ModelRecord(name="test/able", capabilities=ABLE),
    system="Be brief.",
    messages=(Message(role="user", content="Hi"),),
)

WORDS = (
    "user assistant tool system text image tool_use tool_result thinking function base64 auto any enabled"
    " json_schema json high 5m \x00 é"
)
KEYS = (
    "type role content text function name arguments parameters id tool_calls input_schema source data input"
    " tool_use_id images thinking effort format schema temperature top_k num_ctx seed stop"
)
words = st.sampled_from(["", *WORDS.split(" ")])
numbers = st.integers(-(2**63), 2**63 - 1)
scalars = st.none() | st.booleans() | numbers | st.floats(allow_nan=False) | words
keys = st.sampled_from(KEYS.split())
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=8,
)
messages = st.lists(
    st.fixed_dictionaries({"role": words, "content": values}, optional={"tool_calls": values}), max_size=3
)


def chat(body: bytes) -> Request:
    parsed = parse_ollama(body, ChatBody)
    check_chat(parsed, TARGET)
    return chat_request(parsed, TARGET)


def generate(body: bytes) -> Request:
    parsed = parse_ollama(body, GenerateBody)
    check_generate(parsed, TARGET)
    return generate_request(parsed, TARGET)


def draw(body: bytes) -> Request:
    parsed = parse_ollama(body, GenerateBody)
    check_draw(parsed, TARGET)
    return draw_request(parsed, TARGET)


def anthropic(body: bytes) -> Request:
    return messages_request(parse(body, MessagesBody), TARGET)


READERS: list[tuple[type[msgspec.Struct], Callable[[bytes], Request]]] = [
    (ChatBody, chat),
    (GenerateBody, generate),
    (GenerateBody, draw),
    (MessagesBody, anthropic),
]


@pytest.mark.parametrize(("kind", "read"), READERS, ids=lambda each: each.__name__)
@given(data=st.data())
def test_a_request_reaches_the_engine_or_is_refused(
    kind: type[msgspec.Struct], read: Callable[[bytes], Request], data: st.DataObject
) -> None:
    names = [field.encode_name for field in msgspec.structs.fields(kind)]
    likely = {"model": "m", "prompt": "x", "max_tokens": 9, "messages": data.draw(messages)}
    anything = data.draw(st.dictionaries(st.sampled_from(names), values, max_size=3))
    body = json.dumps({**likely, **anything}).encode()
    try:
        request = read(body)
    except InferenceError as error:
        assert error.status in {400, 404, 413}
        return
    assert REQUESTS.decode(frame(request)[LENGTH_BYTES:]) == request


@given(st.dictionaries(st.sampled_from(["system", "parameters", "messages", "quantize", "license"]), values))
@example({"license": ["MIT"], "parameters": {"stop": ["x"]}})
def test_what_an_alias_is_to_say_is_taken_or_refused(given_fields: dict[str, Any]) -> None:
    try:
        settings = settings_of(parse_ollama(json.dumps(given_fields).encode(), CreateBody))
    except InferenceError as error:
        assert error.status == 400
    else:
        assert isinstance(settings, Settings)
