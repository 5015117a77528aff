from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hugweb.api.durations import keep_alive_seconds
from hugweb.api.ollama.requests import (
    ChatBody,
    GenerateBody,
    chat_messages,
    parse,
    parse_format,
)
from hugweb.api.options import parse_options
from inference.errors import InvalidRequest
from inference.protocol import Message, Options


def test_what_is_not_given_has_ollamas_defaults() -> None:
    body = parse(b'{"model":"m"}', ChatBody)
    assert (body.model, body.stream, body.messages) == ("m", True, [])


def test_null_and_empty_are_not_given() -> None:
    """The Go client always sends system, template and options."""
    sent = {"model": "m", "system": "", "template": "", "options": None, "stream": None, "images": None}
    body = parse(json.dumps(sent).encode(), GenerateBody)
    assert (body.stream, body.options, body.images) == (True, {}, [])


def test_unknown_fields_are_ignored() -> None:
    assert parse(b'{"model":"m","shift":true,"nonsense":{}}', ChatBody).model == "m"


@pytest.mark.parametrize("body", [b"", b"  \n"])
def test_no_body_is_said_in_ollamas_words(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="^missing request body$"):
        parse(body, ChatBody)


@pytest.mark.parametrize(
    "body",
    [
        b"{bad",
        b"[]",
        b"null",
        b'"x"',
        b"NaN",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b'{"model":"\xff"}',
        b'{"model":"\\ud800"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"options":{"seed":' + b"9" * 100_000 + b"}}",
        b'{"options":{"temperature":NaN}}',
        b'{"options":{"temperature":1e400}}',
        b'{"model":1}',
        b'{"stream":"yes"}',
        b'{"stream":1}',
        b'{"messages":"hi"}',
        b'{"messages":[1]}',
        b'{"messages":[{"content":"no role"}]}',
        b'{"messages":[{"role":"user","content":["part"]}]}',
        b'{"messages":[{"role":"user","images":["not base64!"]}]}',
        b'{"options":[]}',
        b'{"keep_alive":true}',
        b'{"keep_alive":{}}',
    ],
)
def test_malformed_bodies_are_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse(body, ChatBody)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_body_or_refused(body: bytes) -> None:
    try:
        parse(body, ChatBody)
    except InvalidRequest as error:
        assert error.status == 400


def test_messages_may_lack_content_and_shout_their_role() -> None:
    body = parse(b'{"messages":[{"role":"Assistant"},{"role":"USER","content":"hi"}]}', ChatBody)
    assert chat_messages(body, "") == (Message(role="assistant"), Message(role="user", content="hi"))


def test_an_unknown_role_is_refused() -> None:
    body = parse(b'{"messages":[{"role":"wizard","content":"hi"}]}', ChatBody)
    with pytest.raises(InvalidRequest, match="wizard"):
        chat_messages(body, "")


def test_too_many_messages_are_refused() -> None:
    body = parse(json.dumps({"messages": [{"role": "user", "content": "x"}] * 1001}).encode(), ChatBody)
    with pytest.raises(InvalidRequest, match="1001"):
        chat_messages(body, "")


def test_the_alias_speaks_first_unless_the_request_does() -> None:
    with_system = parse(b'{"messages":[{"role":"system","content":"a"}]}', ChatBody)
    without = parse(b'{"messages":[{"role":"user","content":"a"}]}', ChatBody)
    assert chat_messages(with_system, "alias")[0].content == "a"
    assert chat_messages(without, "alias")[0] == Message(role="system", content="alias")


def test_options_are_taken_floats_cut_and_the_rest_ignored() -> None:
    given_options = {
        "temperature": 1,
        "top_k": 40.9,
        "seed": None,
        "mirostat": 2,
        "foo": "bar",
        "stop": ["x"],
    }
    assert parse_options(given_options) == Options(temperature=1.0, top_k=40, stop=("x",))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"temperature": "hot"}, 'option "temperature" must be of type float32'),
        ({"temperature": "nan"}, 'option "temperature" must be of type float32'),
        ({"top_k": True}, 'option "top_k" must be of type integer'),
        ({"top_k": float("inf")}, 'option "top_k" must be of type integer'),
        ({"stop": "x"}, 'option "stop" must be of type of an array of strings'),
        ({"top_p": 1.5}, 'option "top_p" is out of range'),
        ({"temperature": -0.1}, 'option "temperature" is out of range'),
        ({"temperature": float("nan")}, 'option "temperature" is out of range'),
        ({"num_predict": -3}, 'option "num_predict" is out of range'),
        ({"num_ctx": 0}, 'option "num_ctx" is out of range'),
        ({"seed": 2**64}, 'option "seed" is out of range'),
        ({"stop": ["x"] * 17}, 'option "stop" is out of range'),
        ({"stop": ["x" * 257]}, 'option "stop" is out of range'),
        ({"stop": [""]}, 'option "stop" is out of range'),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], text: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        parse_options(options)
    assert error.value.message.startswith(text)


@pytest.mark.parametrize(
    ("given_value", "seconds"),
    [
        (None, None),
        ("", None),
        (0, 0.0),
        (0.0, 0.0),
        ("0s", 0.0),
        (90, 90.0),
        ("90s", 90.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("300ms", 0.3),
        (-1, -1.0),
        (-0.5, -1.0),
        ("-1m", -1.0),
    ],
)
def test_keep_alive_in_all_its_forms(given_value: float | str | None, seconds: float | None) -> None:
    assert keep_alive_seconds(given_value) == seconds


@pytest.mark.parametrize(
    "value", ["10", "-1", "1.5", "m", "5 minutes", "1h1", "1e9s", "9" * 400 + "h", float("nan")]
)
def test_what_is_no_duration_is_refused(value: float | str) -> None:
    with pytest.raises(InvalidRequest):
        keep_alive_seconds(value)


def test_a_missing_unit_is_said_in_gos_words() -> None:
    with pytest.raises(InvalidRequest, match='^time: missing unit in duration "10"$'):
        keep_alive_seconds("10")


def nested(levels: int) -> dict[str, object]:
    schema: dict[str, object] = {}
    for _ in range(levels):
        schema = {"properties": {"a": schema}}
    return schema


def test_formats_are_json_a_schema_or_nothing() -> None:
    assert parse_format(None) == ""
    assert parse_format("json") == "json"
    assert json.loads(parse_format({"type": "object"})) == {"type": "object"}


@pytest.mark.parametrize(
    "wrong", ["xml", 1, True, ["json"], nested(40), {"enum": ["x" * 70_000]}, {"enum": ["x"] * 70_000}]
)
def test_other_formats_are_refused(wrong: object) -> None:
    with pytest.raises(InvalidRequest, match="format"):
        parse_format(wrong)
