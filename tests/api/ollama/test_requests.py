from __future__ import annotations

import base64
import json
import math
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aliases.target import Target
from hugweb.api.durations import keep_alive_seconds
from hugweb.api.ollama.messages import ChatMessage, GivenDefinition, GivenTool
from hugweb.api.ollama.requests import (
    ChatBody,
    GenerateBody,
    chat_request,
    draw_request,
    generate_request,
    parse,
    parse_format,
)
from hugweb.api.options import parse_options
from inference.errors import InvalidRequest
from inference.models import ModelRecord
from inference.protocol import Message, ModelRef, Options

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n...").decode()
WAV = base64.b64encode(b"RIFF\0\0\0\0WAVE...").decode()


def target(*capabilities: str, **defaults: Any) -> Target:
    record = ModelRecord(name="org/model", capabilities=["completion", *capabilities])
    return Target("huggingface", ModelRef(name="org/model", path="/m"), record, **defaults)


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
    messages = chat_request(body, target()).messages
    assert messages == (Message(role="assistant"), Message(role="user", content="hi"))


def test_an_unknown_role_is_refused() -> None:
    body = parse(b'{"messages":[{"role":"wizard","content":"hi"}]}', ChatBody)
    with pytest.raises(InvalidRequest, match="wizard"):
        chat_request(body, target())


@pytest.mark.parametrize(
    ("field", "one", "count"),
    [
        ("messages", {"role": "user", "content": "x"}, 1001),
        ("tools", {"function": {"name": "f"}}, 129),
        ("messages", {"role": "user", "images": [PNG] * 17}, 1),
        ("messages", {"role": "user", "images": [PNG] * 9 + [WAV] * 8}, 1),
        ("messages", {"role": "assistant", "tool_calls": [{"function": {"name": "f"}}] * 129}, 1),
    ],
)
def test_too_many_are_refused(field: str, one: object, count: int) -> None:
    sent = {"messages": [{"role": "user", "content": "x"}], field: [one] * count}
    with pytest.raises(InvalidRequest, match="at most|At most"):
        chat_request(parse(json.dumps(sent).encode(), ChatBody), target())


def test_the_alias_speaks_first_unless_the_request_does() -> None:
    earlier = (Message(role="user", content="Hi"), Message(role="assistant", content="Yo"))
    alias = target(system="alias", messages=earlier)
    with_system = parse(b'{"messages":[{"role":"system","content":"a"},{"role":"user"}]}', ChatBody)
    without = parse(b'{"messages":[{"role":"user","content":"a"}]}', ChatBody)
    assert chat_request(with_system, alias).messages == (
        Message(role="system", content="a"),
        *earlier,
        Message(role="user"),
    )
    assert chat_request(without, alias).messages == (
        Message(role="system", content="alias"),
        *earlier,
        Message(role="user", content="a"),
    )


def test_a_context_stands_in_place_of_the_aliass_messages() -> None:
    alias = target(messages=(Message(role="user", content="Hi"),))
    plain = generate_request(GenerateBody(prompt="x"), alias)
    continued = generate_request(GenerateBody(prompt="x", context=[1, 2]), alias)
    assert len(plain.messages) == 2
    assert continued.messages == (Message(role="user", content="x"),)
    assert continued.context == (1, 2)


def test_a_suffix_or_raw_goes_in_as_it_is() -> None:
    filled = generate_request(GenerateBody(prompt="def f(", suffix="return 1"), target(system="alias"))
    assert (filled.prompt, filled.suffix, filled.messages) == ("def f(", "return 1", ())
    raw = generate_request(GenerateBody(prompt="x", raw=True), target(system="alias"))
    assert (raw.prompt, raw.messages) == ("x", ())


def test_results_of_tools_are_paired_with_their_calls() -> None:
    """Ollama's clients send neither ids nor, in old versions, the tool's name."""
    call = {"function": {"name": "add", "arguments": {"a": 1}}}
    other = {"function": {"name": "sub", "arguments": {}}}
    sent = {
        "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "tool_calls": [call, other]},
            {"role": "tool", "content": "1", "tool_name": "sub"},
            {"role": "tool", "content": "2"},
        ]
    }
    messages = chat_request(parse(json.dumps(sent).encode(), ChatBody), target()).messages
    first, second = messages[1].tool_calls
    assert (first.name, first.arguments) == ("add", {"a": 1})
    assert first.id != second.id
    assert (messages[2].tool_name, messages[2].tool_call_id) == ("sub", second.id)
    assert (messages[3].tool_name, messages[3].tool_call_id) == ("add", first.id)


def test_tools_are_taken_as_functions() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    function = {"name": "weather", "description": "Says it.", "parameters": schema}
    sent = {"messages": [{"role": "user"}], "tools": [{"type": "function", "function": function}]}
    (tool,) = chat_request(parse(json.dumps(sent).encode(), ChatBody), target()).tools
    assert (tool.name, tool.description, tool.parameters) == ("weather", "Says it.", schema)


@pytest.mark.parametrize(
    ("choice", "meant"),
    [
        (None, ("auto", "")),
        ("none", ("none", "")),
        ("required", ("required", "")),
        ({"type": "function", "function": {"name": "f"}}, ("required", "f")),
    ],
)
def test_a_tool_may_be_chosen(choice: Any, meant: tuple[str, str]) -> None:
    body = ChatBody(
        messages=[ChatMessage("user")], tools=[GivenTool(GivenDefinition("f"))], tool_choice=choice
    )
    request = chat_request(body, target())
    assert (request.tool_choice, request.tool_name) == meant


@pytest.mark.parametrize("levels", [40, 900])
def test_a_choice_that_is_nested_too_deeply_is_refused(levels: int) -> None:
    choice: dict[str, Any] = {"name": "f"}
    for _ in range(levels):
        choice = {"type": "allowed_tools", "tools": [choice]}
    tools = [GivenTool(GivenDefinition("f"))]
    with pytest.raises(InvalidRequest, match="nested too deeply"):
        chat_request(ChatBody(messages=[ChatMessage("user")], tools=tools, tool_choice=choice), target())


@pytest.mark.parametrize(
    "tool",
    [
        {},
        {"function": {}},
        {"function": {"name": "x" * 300}},
        {"function": {"name": "f", "parameters": "deep"}},
    ],
)
def test_wrong_tools_are_refused(tool: dict[str, Any]) -> None:
    if tool.get("function", {}).get("parameters"):
        tool["function"]["parameters"] = nested(40)
    sent = {"messages": [{"role": "user"}], "tools": [tool]}
    with pytest.raises(InvalidRequest, match="invalid tools|too large"):
        chat_request(parse(json.dumps(sent).encode(), ChatBody), target())


def test_images_and_sounds_are_told_apart() -> None:
    sent = {"messages": [{"role": "user", "images": [PNG, WAV]}]}
    (message,) = chat_request(parse(json.dumps(sent).encode(), ChatBody), target()).messages
    assert message.images == (base64.b64decode(PNG),)
    assert message.audios == (base64.b64decode(WAV),)


def test_what_is_no_image_is_refused() -> None:
    sent = {"messages": [{"role": "user", "images": ["aGk="]}]}
    with pytest.raises(InvalidRequest, match="PNG"):
        chat_request(parse(json.dumps(sent).encode(), ChatBody), target())


@pytest.mark.parametrize(
    ("given_value", "capable", "meant"),
    [
        (None, True, True),
        (True, True, True),
        (False, True, False),
        ("high", True, "high"),
        (None, False, None),
        (False, False, None),
    ],
)
def test_models_that_think_do_unless_told_not_to(
    given_value: bool | str | None, capable: bool, meant: object
) -> None:
    model = target(*(("thinking",) if capable else ()))
    assert generate_request(GenerateBody(prompt="x", think=given_value), model).think == meant


def test_logprobs_truncate_shift_and_debug_reach_the_engine() -> None:
    body = parse(b'{"prompt":"x","logprobs":true,"top_logprobs":3,"_debug_render_only":true}', GenerateBody)
    request = generate_request(body, target())
    assert (request.logprobs, request.render_only) == (3, True)
    assert (request.truncate, request.shift) == (True, True)
    body = parse(b'{"prompt":"x","truncate":false,"shift":false,"top_logprobs":3}', GenerateBody)
    request = generate_request(body, target())
    assert (request.truncate, request.shift, request.logprobs) == (False, False, None)


def test_a_picture_is_asked_for_with_its_sizes() -> None:
    body = GenerateBody(prompt="cat", width=64, height=32, steps=2, options={"seed": 7}, keep_alive="5m")
    request = draw_request(body, target("image"))
    assert (request.width, request.height, request.steps, request.seed) == (64, 32, 2, 7)
    assert request.keep_alive == 300
    with pytest.raises(InvalidRequest, match="^width and height must be <= 4096$"):
        draw_request(GenerateBody(prompt="cat", width=5000), target("image"))
    with pytest.raises(InvalidRequest, match="steps"):
        draw_request(GenerateBody(prompt="cat", steps=-1), target("image"))


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


def test_options_by_the_names_of_transformers() -> None:
    given_options = {"repetition_penalty": 1.3, "max_new_tokens": 7.9}
    assert parse_options(given_options) == Options(repeat_penalty=1.3, num_predict=7)
    assert parse_options(given_options | {"repeat_penalty": 1.1, "num_predict": None}) == Options(
        repeat_penalty=1.1, num_predict=7
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"temperature": "hot"}, 'option "temperature" must be of type float32'),
        ({"temperature": "nan"}, 'option "temperature" must be of type float32'),
        ({"top_k": True}, 'option "top_k" must be of type integer'),
        ({"top_k": float("inf")}, 'option "top_k" must be of type integer'),
        ({"repetition_penalty": "x"}, 'option "repetition_penalty" must be of type float32'),
        ({"repetition_penalty": 0}, 'option "repetition_penalty" is out of range'),
        ({"max_new_tokens": "x"}, 'option "max_new_tokens" must be of type integer'),
        ({"stop": "x"}, 'option "stop" must be of type array'),
        ({"stop": ["x", 1]}, 'option "stop" must be of an array of strings'),
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
        ("0", 0.0),
        ("-0", 0.0),
        ("-0s", 0.0),
        ("0h0m0s", 0.0),
        ("+5m", 300.0),
        (".5s", 0.5),
        ("5.s", 5.0),
        (sys.float_info.max, sys.float_info.max),
    ],
)
def test_keep_alive_in_all_its_forms(given_value: float | str | None, seconds: float | None) -> None:
    assert keep_alive_seconds(given_value) == seconds


@pytest.mark.parametrize(
    "value",
    [*("10", "-1", "1.5", "m", "5 minutes", "1h1", "1e9s", "9" * 400 + "h"), math.nan, math.inf, 10**400],
)
def test_what_is_no_duration_is_refused(value: float | str) -> None:
    with pytest.raises(InvalidRequest):
        keep_alive_seconds(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("10", 'time: missing unit in duration "10"'),
        ("1h5", 'time: missing unit in duration "1h5"'),
        ("1d", 'time: unknown unit "d" in duration "1d"'),
        ("5 m", 'time: unknown unit " m" in duration "5 m"'),
        ("--5m", 'time: invalid duration "--5m"'),
        (".s", 'time: invalid duration ".s"'),
        (True, "Unsupported type: 'bool'"),
        ([1], "Unsupported type: '[]interface {}'"),
        ({"a": 1}, "Unsupported type: 'map[string]interface {}'"),
    ],
)
def test_what_is_no_duration_is_said_in_gos_words(value: Any, text: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        keep_alive_seconds(value)
    assert error.value.message == text


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
