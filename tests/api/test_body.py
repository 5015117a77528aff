from __future__ import annotations

import gc
import json
from typing import Any

import pytest
from msgspec import Struct

from hugweb.api.anthropic.blocks import messages_ours
from hugweb.api.anthropic.requests import MessagesBody
from hugweb.api.body import MOST_COMMAS, MOST_OBJECTS, parse
from hugweb.api.ollama.requests import ChatBody as OllamaChatBody
from hugweb.api.openai.chat.requests import ChatBody
from hugweb.api.openai.responses.requests import ResponseBody
from hugweb.api.openai.responses.tools import ResponseTool, read_response_tools
from hugweb.api.openai.tools import ToolSpec
from inference.errors import InvalidRequest, TooLarge


class Inner(Struct):
    role: str
    words: list[str] = []


class Outer(Struct):
    model: str = ""
    inner: list[Inner] = []
    bias: dict[int, float] = {}


def test_null_is_not_given_and_the_empty_string_only_if_it_is_said_so() -> None:
    body = b'{"model":"","inner":null}'
    assert parse(body, Outer) == Outer()
    assert parse(b'{"model":null}', Outer) == Outer()
    with pytest.raises(InvalidRequest):
        parse(b'{"inner":""}', Outer)
    assert parse(b'{"inner":""}', Outer, absent=(None, "")) == Outer()


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"model":1}', "model"),
        (b'{"inner":[{"role":"a"},{"role":1}]}', "inner[1].role"),
        (b'{"inner":[{"role":"a","words":["a",2]}]}', "inner[0].words[1]"),
        (b'{"inner":[{}]}', "inner[0].role"),
        (b'{"bias":{"a":1}}', "bias"),
        (b'{"bias":{"1":"a"}}', "bias"),
        (b"[]", None),
        (b"{", None),
        (b"", None),
    ],
)
def test_what_is_wrong_is_named(body: bytes, param: str | None) -> None:
    with pytest.raises(InvalidRequest) as error:
        parse(body, Outer)
    assert error.value.param == param


def test_what_nobody_knows_is_never_made_into_objects() -> None:
    """Nor is it judged: a number too large for Python, and text that is no UTF-8."""
    deep = b"[" * 50 + b"]" * 50
    assert parse(b'{"model":"x","junk":[1e999,' + deep + b'],"more":"\xff"}', Outer) == Outer(model="x")


def test_values_beyond_count_are_refused_before_they_are_read() -> None:
    body = b'{"model":"x","inner":[' + b",".join([b'{"role":"a"}'] * (MOST_COMMAS + 1)) + b"]}"
    with pytest.raises(TooLarge, match="values"):
        parse(body, Outer)


@pytest.mark.parametrize(
    ("kind", "field", "told"),
    [
        (OllamaChatBody, "messages", "50000 messages are too many; at most 1000"),
        (OllamaChatBody, "tools", "50000 tools are too many; at most 128"),
        (ChatBody, "messages", "50000 messages are too many; at most 1000"),
        (ChatBody, "tools", "50000 tools are too many; at most 128"),
        (ChatBody, "functions", "50000 functions are too many; at most 128"),
        (ResponseBody, "input", "50000 items are too many; at most 3000"),
        (MessagesBody, "messages", "50000 messages are too many; at most 1000"),
        (MessagesBody, "tools", "50000 tools are too many; at most 128"),
    ],
)
def test_of_a_list_that_is_too_long_nothing_is_made(kind: type[Struct], field: str, told: str) -> None:
    """Not even what would be an error."""
    with pytest.raises(InvalidRequest, match=told) as error:
        parse(json.dumps({"model": "x", field: [1] * 50_000}).encode(), kind)
    assert error.value.param == field


@pytest.mark.parametrize("one", [{}, {"role": "a"}])
def test_objects_beyond_count_are_refused_before_they_are_read(one: Any) -> None:
    for indent in (None, 1):
        body = {"model": "x", "inner": [1, {"role": "a", "words": [one] * MOST_OBJECTS}]}
        with pytest.raises(TooLarge, match="objects"):
            parse(json.dumps(body, indent=indent).encode(), Outer)


def test_what_is_said_in_texts_is_not_counted() -> None:
    text = json.dumps([{"a": [1, 2], "b": {"c": 3}}] * MOST_OBJECTS, indent=1)
    assert parse(json.dumps({"model": text}).encode(), Outer) == Outer(model=text)


def test_garbage_is_collected_again_when_a_body_is_read() -> None:
    for body in (b'{"model":"x"}', b'{"model":1}'):
        try:
            parse(body, Outer)
        except InvalidRequest:
            assert b"1" in body
        assert gc.isenabled()


def test_what_comes_of_a_list_is_counted_before_it_is_made() -> None:
    """Neither the ends of these lists nor their errors are reached."""
    several = [ResponseTool(type="namespace", name="n", tools=[ToolSpec()] * 65)] * 2
    with pytest.raises(InvalidRequest, match="130 tools are too many"):
        read_response_tools(several, "auto")
    results = [{"type": "tool_result", "tool_use_id": "a"}] * 1001 + [{"type": "none"}]
    with pytest.raises(InvalidRequest, match="more than 1000 messages"):
        messages_ours(
            parse(
                json.dumps({"messages": [{"role": "user", "content": results}]}).encode(), MessagesBody
            ).messages
        )
