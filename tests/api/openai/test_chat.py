"""Chat completions over a real server, driven by OpenAI's client."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai.types.chat.chat_completion_chunk import ChoiceDeltaFunctionCall

from inference.errors import Busy, ContextOverflow, InferenceError, LoadFailed
from inference.protocol import (
    Called,
    Done,
    Event,
    Failed,
    Generate,
    Loading,
    Logprob,
    Message,
    Queued,
    Request,
    Text,
    Thought,
    Tool,
    ToolCall,
    Usage,
)
from tests.api.openai.conftest import ABLE, ALIAS, MODEL, Stage
from tests.documents import make_pdf

CHAT = "/v1/chat/completions"
HELLO: list[Any] = [{"role": "user", "content": "one two three"}]
PNG = b"\x89PNG\r\n\x1a\n"
WAV = b"RIFF\x00\x00\x00\x00WAVE"
PNG_URL = "data:image/png;base64," + base64.b64encode(PNG).decode()
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        "strict": True,
    },
}
CALLED = Called(call=ToolCall(name="weather", arguments={"city": "Köln"}, id="call_1"), tokens=9)


def test_an_answer_in_one_piece(stage: Stage) -> None:
    answer = stage.client.chat.completions.create(model=MODEL, messages=HELLO)
    assert answer.id.startswith("chatcmpl-")
    assert (answer.object, answer.model) == ("chat.completion", MODEL)
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content) == ("assistant", "one two three ")
    assert (choice.finish_reason, choice.logprobs, choice.message.tool_calls) == ("stop", None, None)
    assert answer.usage
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (
        3,
        3,
        6,
    )


def test_a_stream(stage: Stage) -> None:
    """43"""
    chunks = list(stage.client.chat.completions.create(model=MODEL, messages=HELLO, stream=True))
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert [delta.content for delta in deltas] == ["", "one ", "two ", "three ", None]
    assert [delta.role for delta in deltas] == ["assistant", None, None, None, None]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * 4 + ["stop"]
    assert all(chunk.usage is None for chunk in chunks)


async def test_the_asynchronous_client(stage: Stage) -> None:
    async with openai.AsyncOpenAI(base_url=stage.base, api_key="-", max_retries=0) as client:
        answer = await client.chat.completions.create(model=MODEL, messages=HELLO)
        assert answer.choices[0].message.content == "one two three "
        stream = await client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
        said = [chunk.choices[0].delta.content or "" async for chunk in stream]
        assert "".join(said) == "one two three "


def test_frames_on_the_wire(stage: Stage) -> None:
    data = stage.data(CHAT, {"model": MODEL, "messages": HELLO, "stream": True})
    assert data.pop() == "[DONE]"
    first, last = json.loads(data[0]), json.loads(data[-1])
    assert set(first) == {"id", "object", "created", "model", "system_fingerprint", "choices"}
    assert last["choices"] == [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]


def test_usage_comes_last_where_it_is_asked_for(stage: Stage) -> None:
    usage = Usage(prompt=10, cached=7, completion=5)
    stage.plays(Thought(text="Hm", tokens=2), Text(text="Yes", tokens=3), Done(reason="length", usage=usage))
    chunks = list(
        stage.client.chat.completions.create(
            model=ABLE, messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    )
    last = chunks.pop()
    assert last.choices == []
    assert last.usage
    assert (last.usage.prompt_tokens, last.usage.completion_tokens, last.usage.total_tokens) == (10, 5, 15)
    assert last.usage.prompt_tokens_details
    assert last.usage.prompt_tokens_details.cached_tokens == 7
    assert last.usage.completion_tokens_details
    assert last.usage.completion_tokens_details.reasoning_tokens == 2
    assert all(chunk.usage is None for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "length"
    whole = stage.client.chat.completions.create(model=ABLE, messages=HELLO)
    assert whole.usage == last.usage


def test_thoughts_are_told_apart(stage: Stage) -> None:
    stage.plays(Thought(text="Hm"), Thought(text="…"), Text(text="Yes"), Done(reason="stop"))
    message = stage.client.chat.completions.create(model=ABLE, messages=HELLO).choices[0].message
    assert message.content == "Yes"
    assert message.model_extra == {"reasoning_content": "Hm…", "reasoning": "Hm…"}
    deltas = [
        chunk.choices[0].delta
        for chunk in stage.client.chat.completions.create(model=ABLE, messages=HELLO, stream=True)
    ]
    thoughts = [delta.model_extra for delta in deltas if delta.model_extra]
    assert thoughts == [{"reasoning_content": text, "reasoning": text} for text in ("Hm", "…")]


def test_several_answers(stage: Stage) -> None:
    stage.plays(
        Text(text="a", sample=1),
        Text(text="b", sample=0),
        Text(text="c", sample=1),
        Done(reason="stop", reasons=("stop", "length", "stop")),
    )
    answer = stage.client.chat.completions.create(model=MODEL, messages=HELLO, n=3)
    assert [(choice.index, choice.message.content) for choice in answer.choices] == [
        (0, "b"),
        (1, "ac"),
        (2, ""),
    ]
    assert [choice.finish_reason for choice in answer.choices] == ["stop", "length", "stop"]
    assert stage.asked(Generate).samples == 3
    chunks = list(stage.client.chat.completions.create(model=MODEL, messages=HELLO, n=3, stream=True))
    said, ends = ["", "", ""], {}
    for chunk in chunks:
        (choice,) = chunk.choices
        said[choice.index] += choice.delta.content or ""
        if choice.finish_reason:
            ends[choice.index] = choice.finish_reason
    assert said == ["b", "ac", ""]
    assert ends == {0: "stop", 1: "length", 2: "stop"}


def test_logprobs(stage: Stage) -> None:
    top = (
        Logprob(token=1, text="Y", raw=b"Y", logprob=-0.5),
        Logprob(token=2, text="�", raw=b"\xc3", logprob=float("-inf")),
    )
    stage.plays(
        Text(text="Y", logprobs=(Logprob(token=1, text="Y", raw=b"Y", logprob=-0.5, top=top),)),
        Done(reason="stop"),
    )
    ask = {"model": MODEL, "messages": HELLO, "logprobs": True, "top_logprobs": 2}
    logprobs = stage.client.chat.completions.create(**ask).choices[0].logprobs
    assert logprobs
    assert logprobs.content
    (token,) = logprobs.content
    assert (token.token, token.bytes, token.logprob) == ("Y", [89], -0.5)
    assert [(other.bytes, other.logprob) for other in token.top_logprobs] == [([89], -0.5), ([0xC3], -9999)]
    assert stage.asked(Generate).logprobs == 2
    chunks = list(stage.client.chat.completions.create(**ask, stream=True))
    seen = [chunk.choices[0].logprobs for chunk in chunks]
    assert [one and one.to_dict() for one in seen] == [None, logprobs.to_dict(), None]
    stage.client.chat.completions.create(model=MODEL, messages=HELLO, logprobs=True)
    assert stage.asked(Generate).logprobs == 0


def test_tool_calls(stage: Stage) -> None:
    other = Called(call=ToolCall(name="weather", arguments={}))
    stage.plays(CALLED, other, Done(reason="stop"))
    ask: Any = {"model": ABLE, "messages": HELLO, "tools": [WEATHER]}
    choice = stage.client.chat.completions.create(**ask).choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    calls = choice.message.tool_calls
    assert calls
    assert (calls[0].id, calls[0].type) == ("call_1", "function")
    assert calls[0].function.name == "weather"
    assert json.loads(calls[0].function.arguments) == {"city": "Köln"}
    assert calls[1].id.startswith("call_")
    sent = stage.asked(Generate)
    assert sent.tools == (
        Tool(
            name="weather",
            description="The weather.",
            parameters={"type": "object", "properties": {"city": {"type": "string"}}},
        ),
    )
    chunks = list(stage.client.chat.completions.create(**ask, stream=True))
    deltas = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
    assert [(call.index, call.function and call.function.name) for call in deltas] == [
        (0, "weather"),
        (1, "weather"),
    ]
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_a_call_that_was_cut_stays_cut(stage: Stage) -> None:
    stage.plays(CALLED, Done(reason="length"))
    choice = stage.client.chat.completions.create(model=ABLE, messages=HELLO, tools=[WEATHER]).choices[0]
    assert choice.finish_reason == "length"


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (None, ("auto", "")),
        ("auto", ("auto", "")),
        ("none", ("none", "")),
        ("required", ("required", "")),
        ({"type": "function", "function": {"name": "weather"}}, ("required", "weather")),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [{"type": "function", "function": {"name": "weather"}}],
                },
            },
            ("required", ""),
        ),
    ],
)
def test_tool_choice(stage: Stage, choice: Any, sent: tuple[str, str]) -> None:
    clock: Any = {"type": "function", "function": {"name": "clock"}}
    for parallel in (True, False):
        stage.client.chat.completions.create(
            model=ABLE,
            messages=HELLO,
            tools=[WEATHER, clock],
            tool_choice=choice,
            parallel_tool_calls=parallel,
        )
        asked = stage.asked(Generate)
        assert asked.parallel_tool_calls is (parallel and not sent[1]), "what is named is called once"
    assert (asked.tool_choice, asked.tool_name) == sent
    narrowed = isinstance(choice, dict) and choice["type"] == "allowed_tools"
    assert [tool.name for tool in asked.tools] == (["weather"] if narrowed else ["weather", "clock"])


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (None, ("auto", "")),
        ("auto", ("auto", "")),
        ("none", ("none", "")),
        ({"name": "weather"}, ("required", "weather")),
    ],
)
def test_functions_as_they_were_before_tools(stage: Stage, choice: Any, sent: tuple[str, str]) -> None:
    stage.plays(CALLED, Done(reason="stop"))
    ask: Any = {"model": ABLE, "messages": HELLO, "functions": [WEATHER["function"]], "function_call": choice}
    whole = stage.client.chat.completions.create(**ask).choices[0]
    assert (whole.finish_reason, whole.message.tool_calls) == ("function_call", None)
    assert whole.message.function_call
    assert whole.message.function_call.name == "weather"
    assert json.loads(whole.message.function_call.arguments) == {"city": "Köln"}
    asked = stage.asked(Generate)
    assert [tool.name for tool in asked.tools] == ["weather"]
    assert (asked.tool_choice, asked.tool_name, asked.parallel_tool_calls) == (*sent, False)
    chunks = [chunk.choices[0] for chunk in stage.client.chat.completions.create(**ask, stream=True)]
    assert [chunk.delta.function_call for chunk in chunks if chunk.delta.function_call] == [
        ChoiceDeltaFunctionCall.model_validate(whole.message.function_call.to_dict())
    ]
    assert chunks[-1].finish_reason == "function_call"


def test_a_function_is_answered_by_its_name(stage: Stage) -> None:
    stage.client.chat.completions.create(
        model=ABLE,
        functions=[WEATHER["function"]],
        messages=[
            *HELLO,
            {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": "{}"}},
            {"role": "function", "name": "weather", "content": "Rain."},
        ],
    )
    called, result = stage.asked(Generate).messages[-2:]
    assert [call.name for call in called.tool_calls] == ["weather"]
    assert (result.role, result.tool_name, result.content) == ("tool", "weather", "Rain.")
    assert result.tool_call_id == called.tool_calls[0].id


def test_the_turns_of_a_conversation_with_tools(stage: Stage) -> None:
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city":"Köln"}'},
    }
    stage.client.chat.completions.create(
        model=ABLE,
        tools=[WEATHER],
        messages=[
            {"role": "developer", "content": "Be kind."},
            {
                "role": "user",
                "content": [{"type": "text", "text": "Köln?"}, {"type": "text", "text": "Now."}],
            },
            {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "Hm."},
            {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "Rain."}]},
        ],
    )
    assert stage.asked(Generate).messages == (
        Message(role="system", content="Be kind."),
        Message(role="user", content="Köln?\nNow."),
        Message(
            role="assistant",
            thinking="Hm.",
            tool_calls=(ToolCall(name="weather", arguments={"city": "Köln"}, id="call_1"),),
        ),
        Message(role="tool", content="Rain.", tool_name="weather", tool_call_id="call_1"),
    )


def test_images_and_audio_reach_the_engine(stage: Stage) -> None:
    stage.client.chat.completions.create(
        model=ABLE,
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What?"},
                    {"type": "image_url", "image_url": {"url": PNG_URL, "detail": "low"}},
                    {
                        "type": "input_audio",
                        "input_audio": {"data": base64.b64encode(WAV).decode(), "format": "wav"},
                    },
                ],
            }
        ],
    )
    assert stage.asked(Generate).messages == (
        Message(role="user", content="What?", images=(PNG,), audios=(WAV,)),
    )


@pytest.mark.parametrize("data", ["data:text/csv;charset=utf-8;base64,", "data:;base64,", ""])
def test_files_of_text_are_read(stage: Stage, data: str) -> None:
    file = {"filename": "a.csv", "file_data": data + base64.b64encode("a,ä\n".encode()).decode()}
    told = "<document>\n<title>a.csv</title>\na,ä\n\n</document>\nWhat is it?"
    question: Any = {"type": "text", "text": "What is it?"}
    content: Any = [{"type": "file", "file": file}, question]
    stage.client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": content}])
    assert stage.asked(Generate).messages[0].content == told
    given: Any = [{"role": "user", "content": [{"type": "input_file", **file}, question]}]
    first = stage.client.responses.create(model=MODEL, input=given)
    stage.client.responses.create(model=MODEL, input="And?", previous_response_id=first.id)
    assert [message.content for message in stage.asked(Generate).messages][::2] == [told, "And?"]


def test_pdf_files_are_read_wherever_they_are(stage: Stage) -> None:
    url = "data:application/pdf;base64," + base64.b64encode(make_pdf("Hello.", "There.")).decode()
    told = "<document>\n<title>a.pdf</title>\nHello.\n\nThere.\n</document>"
    file: Any = {"filename": "a.pdf", "file_data": url}
    content: Any = [{"type": "file", "file": file}]
    stage.client.chat.completions.create(model=ABLE, messages=[{"role": "user", "content": content}])
    assert stage.asked(Generate).messages[0].content == told
    with pytest.raises(openai.BadRequestError, match="files are too many"):
        stage.client.chat.completions.create(model=ABLE, messages=[{"role": "user", "content": content * 33}])
    part = {"type": "input_file", **file}
    given: Any = [
        {"role": "user", "content": [part]},
        {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": [part]},
    ]
    first = stage.client.responses.create(model=ABLE, input=given)
    stage.client.responses.create(model=ABLE, input="And?", previous_response_id=first.id)
    messages = stage.asked(Generate).messages
    assert [message.content for message in messages if message.role in ("user", "tool")] == [
        told,
        told,
        "And?",
    ]


def test_every_option_reaches_the_engine(stage: Stage) -> None:
    stage.client.chat.completions.create(
        model=ABLE,
        messages=HELLO,
        temperature=0,
        top_p=0.5,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        logit_bias={"50": -100},
        seed=7,
        stop="END",
        max_tokens=5,
        max_completion_tokens=6,
        reasoning_effort="minimal",
        user="me",
        metadata={"a": "b"},
        store=True,
        extra_body={
            "top_k": -1,
            "min_p": 0.05,
            "repetition_penalty": 1.1,
            "ignore_eos": True,
            "options": {"num_ctx": 512, "temperature": 1, "mirostat": 1},
            "keep_alive": "90s",
            "nonsense": {"a": [1]},
        },
    )
    asked = stage.asked(Generate)
    options = {name: getattr(asked.options, name) for name in asked.options.__struct_fields__}
    assert {name: value for name, value in options.items() if value is not None} == {
        "num_predict": 6,
        "num_ctx": 512,
        "temperature": 0,
        "top_k": 0,
        "top_p": 0.5,
        "min_p": 0.05,
        "repeat_penalty": 1.1,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "logit_bias": {50: -100},
        "seed": 7,
        "stop": ("END",),
        "ignore_eos": True,
    }
    assert (asked.think, asked.keep_alive) == ("low", 90)
    assert (asked.truncate, asked.shift) == (False, False)


def test_an_alias_speaks_first_and_its_options_count_where_the_request_has_none(stage: Stage) -> None:
    assert stage.client.chat.completions.create(model=ALIAS, messages=HELLO).model == ALIAS
    asked = stage.asked(Generate)
    assert asked.messages[0] == Message(role="system", content="Be brief.")
    assert asked.options.temperature == 0.5


@pytest.mark.parametrize(
    ("model", "extra", "think"),
    [
        (ABLE, {}, None),
        (ABLE, {"reasoning_effort": "none"}, False),
        (ABLE, {"reasoning_effort": "xhigh"}, "max"),
        (ABLE, {"reasoning": {"effort": "high"}}, "high"),
        (ABLE, {"think": True}, True),
        (ABLE, {"think": "low"}, "low"),
        (MODEL, {"reasoning_effort": "high"}, None),
        (MODEL, {"think": False}, None),
    ],
)
def test_thinking(stage: Stage, model: str, extra: dict[str, Any], think: Any) -> None:
    stage.client.chat.completions.create(model=model, messages=HELLO, extra_body=extra)
    assert stage.asked(Generate).think == think


def test_stops(stage: Stage) -> None:
    ask: Any = {"model": ALIAS, "messages": HELLO}
    said: list[tuple[Any, Any]] = [
        ("a", ("a",)),
        (["a", "b"], ("a", "b")),
        ([], ()),
        ("", None),
        (None, None),
    ]
    for given, sent in said:
        stage.client.chat.completions.create(**ask, stop=given)
        assert stage.asked(Generate).options.stop == sent


def test_formats(stage: Stage) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    formats: list[tuple[Any, Any]] = [
        ({"type": "text"}, ""),
        ({"type": "json_object"}, "json"),
        ({"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}, schema),
    ]
    for given, sent in formats:
        stage.client.chat.completions.create(model=MODEL, messages=HELLO, response_format=given)
        asked = stage.asked(Generate).format
        assert (json.loads(asked) if isinstance(sent, dict) else asked) == sent


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "messages[0].content[0].type"),
        *(
            ({"messages": [{"role": "user", "content": [{"type": "file", "file": file}]}]}, param)
            for file, param in (
                ({}, "messages[0].content[0].file.file_data"),
                ({"file_id": "file_1"}, "messages[0].content[0].file.file_id"),
                ({"file_data": "?"}, "messages[0].content[0].file.file_data"),
                ({"file_data": "/w=="}, "messages[0].content[0].file.file_data"),
            )
        ),
        ({"messages": [*HELLO] * 1001}, "messages"),
        (
            {
                "messages": [
                    {"role": "assistant", "tool_calls": [{"function": {"name": "a", "arguments": "x"}}]}
                ]
            },
            "messages[0].tool_calls[0].function.arguments",
        ),
        ({"n": 0}, "n"),
        ({"n": 17}, "n"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": -1}, "temperature"),
        ({"top_p": 2}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_completion_tokens": -5}, "max_completion_tokens"),
        ({"seed": 2**64}, "seed"),
        ({"stop": [""]}, "stop"),
        ({"stop": ["x"] * 17}, "stop"),
        ({"stop": 1}, "stop"),
        ({"logit_bias": {"a": 1}}, "logit_bias"),
        ({"logit_bias": {"1": 200}}, "logit_bias"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"reasoning_effort": "huge"}, "reasoning_effort"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"reasoning_effort": "low", "think": "huge"}, "think"),
        ({"keep_alive": "10"}, "keep_alive"),
        ({"options": {"temperature": "hot"}}, "options.temperature"),
        ({"options": {"stop": [1]}}, "options.stop"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "input_audio": {}}]}]},
            "messages[0].content[0].input_audio.data",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages[0].content[0].image_url.url",
        ),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"functions": [{"name": ""}]}, "functions[0].name"),
        ({"functions": [{"name": "f"}] * 2}, "functions"),
        ({"functions": [{"name": "f"}], "function_call": "always"}, "function_call"),
        (
            {"messages": [{"role": "assistant", "function_call": {"name": "a", "arguments": "x"}}]},
            "messages[0].function_call.arguments",
        ),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"modalities": ["text"], "audio": {"voice": "alloy", "format": "wav"}}, "audio"),
        ({"moderation": {"model": "omni-moderation-latest"}}, "moderation"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"tools": [WEATHER, WEATHER]}, "tools"),
        ({"tools": [{"type": "code_interpreter"}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{"type": "function", "function": {"name": ""}}]}, "tools[0].function.name"),
        ({"tools": [WEATHER] * 129}, "tools"),
        ({"tools": [WEATHER], "tool_choice": "always"}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        (
            {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "clock"}}},
            "tool_choice",
        ),
    ],
)
def test_what_is_wrong_is_a_400_that_names_the_field(stage: Stage, body: Any, param: str) -> None:
    status, _, text = stage.post(CHAT, {"model": ABLE, "messages": HELLO, **body})
    error = json.loads(text)["error"]
    assert (status, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert error["message"]
    assert stage.engine.requests == [], "nothing was loaded"


@pytest.mark.parametrize("url", ["https://example.org/a.png", "a.png", "data:image/png;base64,?", "data:,x"])
def test_images_that_are_not_in_the_request_are_refused(stage: Stage, url: str) -> None:
    content: Any = [{"type": "image_url", "image_url": {"url": url}}]
    with pytest.raises(openai.BadRequestError) as error:
        stage.client.chat.completions.create(model=ABLE, messages=[{"role": "user", "content": content}])
    assert error.value.param == "messages[0].content[0].image_url.url"


@pytest.mark.parametrize(
    ("extra", "text", "param"),
    [
        ({"tools": [WEATHER]}, f'"{MODEL}" does not support tools', "tools"),
        ({"functions": [WEATHER["function"]]}, f'"{MODEL}" does not support tools', "functions"),
        ({"extra_body": {"think": True}}, f'"{MODEL}" does not support thinking', "think"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": PNG_URL}]}]},
            f'"{MODEL}" does not support images',
            "messages",
        ),
    ],
)
def test_what_a_model_cannot_do_is_said_before_it_is_loaded(
    stage: Stage, extra: Any, text: str, param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        stage.client.chat.completions.create(**{"model": MODEL, "messages": HELLO, **extra})
    assert error.value.body == {
        "message": text,
        "type": "invalid_request_error",
        "param": param,
        "code": "unsupported_value",
    }
    assert stage.engine.requests == []


def test_an_unknown_model(stage: Stage) -> None:
    for stream in (True, False):
        with pytest.raises(openai.NotFoundError) as error:
            stage.client.chat.completions.create(model="nope", messages=HELLO, stream=stream)
        assert (error.value.code, error.value.type) == ("model_not_found", "not_found_error")
    with pytest.raises(openai.BadRequestError, match="model is required"):
        stage.client.chat.completions.create(model="", messages=HELLO)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("failure", "kind", "code"),
    [
        (ContextOverflow("It is too long."), openai.BadRequestError, "context_length_exceeded"),
        (LoadFailed("It cannot be loaded."), openai.InternalServerError, None),
        (Busy(), openai.InternalServerError, None),
    ],
)
def test_an_error_before_the_first_text_has_its_status(
    stage: Stage, failure: InferenceError, kind: type[openai.APIStatusError], code: str | None, stream: bool
) -> None:
    stage.plays(Queued(position=1), Loading(seconds=1), Failed.of(failure))
    with pytest.raises(kind) as error:
        stage.client.chat.completions.create(model=MODEL, messages=HELLO, stream=stream)
    assert (error.value.status_code, error.value.code) == (failure.status, code)
    assert ("retry-after" in error.value.response.headers) == failure.retryable


def test_an_error_in_mid_stream_reaches_the_client(stage: Stage) -> None:
    stage.plays(Text(text="one "), Failed.of(InferenceError("It broke.")))
    said = []
    with pytest.raises(openai.APIError, match=r"^It broke\.$") as error:
        for chunk in stage.client.chat.completions.create(model=MODEL, messages=HELLO, stream=True):
            said.append(chunk.choices[0].delta.content)
    assert said == ["", "one "]
    assert error.value.type == "api_error"


def test_a_dead_engine_reaches_the_client(stage: Stage) -> None:
    async def script(request: Request) -> AsyncIterator[Event]:
        yield Text(text="one ")
        stage.engine.die()
        yield Text(text="never seen")

    stage.engine.script = script
    with pytest.raises(openai.APIError, match="engine stopped"):
        list(stage.client.chat.completions.create(model=MODEL, messages=HELLO, stream=True))


def test_no_completion_is_kept_and_that_is_said(stage: Stage) -> None:
    stored = stage.client.chat.completions
    answer = stored.create(model=MODEL, messages=HELLO, store=True, metadata={"a": "b"})
    with pytest.raises(openai.APIStatusError) as error:
        stored.list()
    assert (error.value.status_code, error.value.response.headers["allow"]) == (405, "POST")
    for ask in (
        lambda: stored.retrieve(answer.id),
        lambda: stored.update(answer.id, metadata={}),
        lambda: stored.delete(answer.id),
        lambda: stored.messages.list(answer.id),
    ):
        with pytest.raises(openai.NotFoundError, match="responses are"):
            ask()


def test_other_methods_and_paths(stage: Stage) -> None:
    status, _, text = stage.request("DELETE", CHAT)
    assert (status, json.loads(text)["error"]["message"]) == (405, "405 method not allowed")
    status, _, text = stage.request("POST", "/v1/chat/zzz", {})
    assert (status, json.loads(text)["error"]["type"]) == (404, "not_found_error")
