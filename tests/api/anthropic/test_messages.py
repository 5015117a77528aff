"""Anthropic's API over a real server, by Anthropic's own client."""

from __future__ import annotations

import base64
import json
from typing import Any

import anthropic
import pytest

from hugweb.api.anthropic.blocks import NO_CITATIONS
from inference.errors import Busy, InferenceError
from inference.protocol import (
    Called,
    Done,
    Failed,
    Generate,
    Message,
    Options,
    Rendered,
    Text,
    Thought,
    ToolCall,
    Usage,
)
from tests.api.stage import HELLO, Stage
from tests.documents import make_pdf
from tests.serving import MODEL

PNG = b"\x89PNG\r\n\x1a\n..."
STOP = Done(reason="stop", usage=Usage(prompt=5, cached=3, completion=4))
WEATHER: dict[str, Any] = {
    "name": "weather",
    "description": "Tells it.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
BODY = {"model": MODEL, "max_tokens": 9, "messages": HELLO}


@pytest.fixture
def client(stage: Stage) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=stage.server.url, api_key="x", max_retries=0)


def sent(stage: Stage) -> Generate:
    request = stage.engine.requests[-1]
    assert isinstance(request, Generate)
    return request


def test_a_message(stage: Stage, client: anthropic.Anthropic) -> None:
    stage.plays(Text(text="Hello "), Text(text="you."), STOP)
    message = client.messages.create(
        model=MODEL,
        max_tokens=9,
        system="Be brief.",
        messages=[{"role": "user", "content": "Hi"}],
        stop_sequences=["END"],
        metadata={"user_id": "x"},
        extra_body={"temperature": 0.5, "top_p": 0.9, "top_k": 7},
    )
    (block,) = message.content
    assert block.type == "text"
    assert block.text == "Hello you."
    assert (message.role, message.model, message.stop_reason) == ("assistant", MODEL, "end_turn")
    assert (message.usage.input_tokens, message.usage.cache_read_input_tokens) == (2, 3)
    assert message.usage.output_tokens == 4
    assert message.id.startswith("msg_")
    request = sent(stage)
    assert request.messages == (
        Message(role="system", content="Be brief."),
        Message(role="user", content="Hi"),
    )
    assert request.options == Options(num_predict=9, temperature=0.5, top_p=0.9, top_k=7, stop=("END",))
    assert request.truncate is False


def test_the_order_of_events(stage: Stage) -> None:
    stage.plays(
        Thought(text="Hm."),
        Text(text="Let me "),
        Text(text="see."),
        Called(call=ToolCall(name="weather", arguments={"city": "Tokyo"}, id="call_1")),
        Called(call=ToolCall(name="weather", arguments={}, id="call_2")),
        Text(text="Done."),
        STOP,
    )
    status, headers, body = stage.post("/v1/messages", {**BODY, "model": "test/thinker", "stream": True})
    assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    events = [part.split("\n") for part in body.decode().split("\n\n") if part]
    names = [name.removeprefix("event: ") for name, _ in events]
    data = [json.loads(line.removeprefix("data: ")) for _, line in events]
    assert [datum["type"] for datum in data] == names
    start, delta, stop = "content_block_start", "content_block_delta", "content_block_stop"
    assert names == [
        *("message_start", "ping"),
        *(start, delta, delta, stop),
        *(start, delta, delta, stop),
        *(start, delta, stop),
        *(start, delta, stop),
        *(start, delta, stop),
        *("message_delta", "message_stop"),
    ]
    blocks = [datum for datum in data if datum["type"] == start]
    assert [block["index"] for block in blocks] == [0, 1, 2, 3, 4]
    assert [block["content_block"]["type"] for block in blocks] == [
        *("thinking", "text", "tool_use", "tool_use", "text")
    ]
    deltas = [datum["delta"]["type"] for datum in data if datum["type"] == delta]
    assert deltas == [
        *("thinking_delta", "signature_delta", "text_delta", "text_delta"),
        *("input_json_delta", "input_json_delta", "text_delta"),
    ]
    assert data[0]["message"]["content"] == []
    assert data[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
    assert data[-2]["usage"]["output_tokens"] == 4


def test_a_stream_and_a_whole_answer_are_the_same(stage: Stage, client: anthropic.Anthropic) -> None:
    stage.plays(
        Thought(text="Hm."),
        Text(text="See."),
        Called(call=ToolCall(name="weather", arguments={"city": "Tokyo", "n": [1, None]}, id="call_1")),
        STOP,
    )
    asked: Any = {
        "model": "test/thinker",
        "max_tokens": 2000,
        "messages": [{"role": "user", "content": "Hi"}],
        "tools": [WEATHER],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }
    whole = client.messages.create(**asked)
    with client.messages.stream(**asked) as stream:
        assert "".join(stream.text_stream) == "See."
        streamed = stream.get_final_message()
    assert [block.model_dump() for block in streamed.content] == [
        block.model_dump() for block in whole.content
    ]
    assert [block.type for block in whole.content] == ["thinking", "text", "tool_use"]
    assert (whole.stop_reason, streamed.stop_reason) == ("tool_use", "tool_use")
    assert streamed.usage.input_tokens == whole.usage.input_tokens == 2
    assert sent(stage).think is True


def test_a_tools_result_goes_back_with_its_call(stage: Stage, client: anthropic.Anthropic) -> None:
    client.messages.create(
        model="test/tools",
        max_tokens=9,
        tools=[WEATHER],
        tool_choice={"type": "tool", "name": "weather", "disable_parallel_tool_use": True},
        system=[{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}],
        messages=[
            {"role": "user", "content": "Hi"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Hm.", "signature": "x"},
                    {"type": "text", "text": "See."},
                    {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Tokyo"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "toolu_1",
                        "content": [{"type": "text", "text": "22"}],
                        "is_error": True,
                    },
                    {"type": "text", "text": "Well?"},
                ],
            },
        ],
    )
    request = sent(stage)
    call = ToolCall(name="weather", arguments={"city": "Tokyo"}, id="toolu_1")
    assert request.messages == (
        Message(role="system", content="One.\nTwo."),
        Message(role="user", content="Hi"),
        Message(role="assistant", content="See.", thinking="Hm.", tool_calls=(call,)),
        Message(role="tool", content="Error: 22", tool_name="weather", tool_call_id="toolu_1"),
        Message(role="user", content="Well?"),
    )
    assert (request.tool_choice, request.tool_name, request.parallel_tool_calls) == (
        *("required", "weather"),
        False,
    )
    assert (request.tools[0].name, request.tools[0].parameters) == ("weather", WEATHER["input_schema"])


@pytest.mark.parametrize(("choice", "meant"), [("auto", "auto"), ("any", "required"), ("none", "none")])
def test_tool_choices(stage: Stage, client: anthropic.Anthropic, choice: Any, meant: str) -> None:
    client.messages.create(
        **BODY | {"model": "test/tools"},
        tools=[WEATHER],
        tool_choice={"type": choice},  # type: ignore[arg-type]
    )
    assert sent(stage).tool_choice == meant


def test_a_system_message_stands_behind_the_system_prompt(stage: Stage) -> None:
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
    assert stage.post("/v1/messages", {**BODY, "system": "Be brief.", "messages": messages})[0] == 200
    assert [(one.role, one.content) for one in sent(stage).messages] == [
        ("system", "Be brief.\n\nBe kind."),
        ("user", "Hi"),
    ]


def test_images_reach_the_engine(stage: Stage, client: anthropic.Anthropic) -> None:
    source: Any = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PNG).decode()}
    content: Any = [{"type": "image", "source": source}, {"type": "text", "text": "What?"}]
    client.messages.create(model="test/vision", max_tokens=9, messages=[{"role": "user", "content": content}])
    assert sent(stage).messages == (Message(role="user", content="What?", images=(PNG,)),)


def test_documents_are_read(stage: Stage, client: anthropic.Anthropic) -> None:
    """As text of the prompt, with their titles; what is cited is not told, which is said."""
    image: Any = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PNG).decode()}
    sources: list[Any] = [
        {
            "type": "content",
            "content": [{"type": "text", "text": "Two."}, {"type": "image", "source": image}],
        },
        {"type": "content", "content": "Three."},
        {"type": "base64", "media_type": "text/plain", "data": base64.b64encode("\ufeffä".encode()).decode()},
    ]
    one: Any = {"type": "text", "media_type": "text/plain", "data": "One."}
    found = {"source": "https://example.org", "title": "B", "content": [{"type": "text", "text": "Four."}]}
    blocks: list[Any] = [
        {"type": "document", "source": one, "title": "A", "context": "Of old."},
        *({"type": "document", "source": source, "citations": {"enabled": True}} for source in sources),
        {"type": "search_result", **found},
    ]
    told = (
        "<document>\n<title>A</title>\n<context>Of old.</context>\nOne.\n</document>\n"
        "<document>\nTwo.\n</document>\n<document>\nThree.\n</document>\n<document>\nä\n</document>\n"
        "<document>\n<title>B</title>\n<source>https://example.org</source>\nFour.\n</document>"
    )
    result: Any = {"type": "tool_result", "tool_use_id": "toolu_1", "content": blocks}
    said: Any = [{"role": "user", "content": [result, *blocks, {"type": "text", "text": "?"}]}]
    answer = client.messages.with_raw_response.create(model="test/vision", max_tokens=9, messages=said)
    assert answer.headers["X-HugWeb-Note"] == NO_CITATIONS
    assert sent(stage).messages == (
        Message(role="tool", content=told, images=(PNG,), tool_call_id="toolu_1"),
        Message(role="user", content=f"{told}\n?", images=(PNG,)),
    )


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ({"type": "url", "url": "https://example.org/a.pdf"}, "documents are taken as text"),
        ({"type": "file", "file_id": "file_1"}, "documents are taken as text"),
        ({"type": "base64", "data": "/w=="}, "text in UTF-8"),
        ({"type": "base64", "data": base64.b64encode(b"%PDF-1.4").decode()}, "PDF file is damaged"),
        ({"type": "base64", "data": "?"}, "not base64"),
        ({"type": "content", "content": [{"type": "document"}]}, "documents hold text and images"),
        ("https://example.org", "documents are taken as text"),
        ({"type": "text"}, "there is nothing in it"),
        ({"type": "content", "content": None}, "there is nothing in it"),
        ({"type": "base64"}, "this file is empty"),
    ],
)
def test_documents_that_are_not_read(stage: Stage, source: Any, told: str) -> None:
    said = [{"role": "user", "content": [{"type": "document", "source": source}]}]
    status, _, body = stage.post("/v1/messages", {**BODY, "messages": said})
    assert (status, told in json.loads(body)["error"]["message"]) == (400, True)


@pytest.mark.parametrize(
    ("thinking", "effort", "meant"),
    [
        (None, None, False),
        ({"type": "disabled"}, None, False),
        ({"type": "enabled", "budget_tokens": 1024}, None, True),
        ({"type": "adaptive"}, "xhigh", "max"),
        ({"type": "adaptive"}, "low", "low"),
        ({"type": "between_tools"}, "low", False),
    ],
)
def test_thinking_is_off_unless_asked_for(stage: Stage, thinking: Any, effort: Any, meant: Any) -> None:
    more = {"thinking": thinking, "output_config": {"effort": effort}}
    assert stage.post("/v1/messages", {**BODY, **more, "model": "test/thinker"})[0] == 200
    assert sent(stage).think == meant
    assert stage.post("/v1/messages", {**BODY, **more})[0] == 200
    assert sent(stage).think is None, "a model that cannot is asked in vain"


def test_pdf_files_are_read(stage: Stage, client: anthropic.Anthropic) -> None:
    data = base64.b64encode(make_pdf("Hello.")).decode()
    source: Any = {"type": "base64", "media_type": "application/pdf", "data": data}
    document: Any = {"type": "document", "source": source, "title": "A"}
    result: Any = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [document]}
    told = "<document>\n<title>A</title>\nHello.\n</document>"
    for block in (document, result):
        client.messages.create(**{**BODY, "messages": [{"role": "user", "content": [block]}]})
        assert [message.content for message in sent(stage).messages] == [told]
    many: Any = [{"role": "user", "content": [document, {**result, "content": [document] * 32}]}]
    with pytest.raises(anthropic.BadRequestError, match="33 files are too many"):
        client.messages.create(**{**BODY, "messages": many})


def test_a_model_thinks_between_tools(stage: Stage) -> None:
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "Rain."}
    said = [*HELLO, {"role": "user", "content": [result]}]
    more = {"thinking": {"type": "between_tools"}, "messages": said, "model": "test/thinker"}
    assert stage.post("/v1/messages", {**BODY, **more})[0] == 200
    assert sent(stage).think is True


def test_thoughts_are_left_out(stage: Stage, client: anthropic.Anthropic) -> None:
    stage.plays(Thought(text="H"), Thought(text="m"), Text(text="Yes"), STOP)
    thinking: Any = {"type": "adaptive", "display": "omitted"}
    ask: Any = {**BODY, "model": "test/thinker", "thinking": thinking}
    whole = client.messages.create(**ask)
    with client.messages.stream(**ask) as stream:
        assert not [event for event in stream if event.type == "thinking"]
        streamed = stream.get_final_message()
    for message in (whole, streamed):
        thought, text = message.content
        assert (thought.type, text.type) == ("thinking", "text")
        assert (thought.thinking, bool(thought.signature), text.text) == ("", True, "Yes")


def test_a_prompt_is_read_ahead(stage: Stage, client: anthropic.Anthropic) -> None:
    """Without an answer: what was read is there when the same prompt is asked again."""
    stage.plays(Text(text="one two three"), Done(reason="length", usage=Usage(prompt=5)))
    ask: Any = {**BODY, "max_tokens": 0}
    whole = client.messages.create(**ask)
    with client.messages.stream(**ask) as stream:
        streamed = stream.get_final_message()
    for answer in (whole, streamed):
        assert (answer.content, answer.stop_reason, answer.usage.output_tokens) == ([], "max_tokens", 0)
    assert (sent(stage).options.num_predict, sent(stage).echo) == (0, True)
    client.messages.create(**{**ask, "max_tokens": 1})
    assert sent(stage).echo is False


@pytest.mark.parametrize(
    ("done", "reason", "sequence"),
    [
        (Done(reason="length", usage=Usage(completion=9)), "max_tokens", None),
        (Done(reason="length", usage=Usage(completion=3)), "model_context_window_exceeded", None),
        (Done(reason="stop", stop_string="END"), "stop_sequence", "END"),
    ],
)
def test_why_it_ended(stage: Stage, done: Done, reason: str, sequence: str | None) -> None:
    stage.plays(Text(text="x"), done)
    answer = json.loads(stage.post("/v1/messages", BODY)[2])
    assert (answer["stop_reason"], answer["stop_sequence"]) == (reason, sequence)


def test_formats_options_and_keep_alive(stage: Stage) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    more = {
        "output_config": {"format": {"type": "json_schema", "schema": schema}},
        "options": {"seed": 7, "top_k": 1},
        "top_k": 2,
        "keep_alive": "90s",
    }
    assert stage.post("/v1/messages", {**BODY, **more})[0] == 200
    request = sent(stage)
    assert json.loads(request.format) == schema
    assert stage.post("/v1/messages", {**BODY, "output_format": more["output_config"]["format"]})[0] == 200
    assert json.loads(sent(stage).format) == schema
    assert (request.options.seed, request.options.top_k, request.keep_alive) == (7, 2, 90)


def test_tokens_are_counted_and_nothing_is_generated(stage: Stage, client: anthropic.Anthropic) -> None:
    stage.plays(Rendered(text="<hi>", tokens=12), Done(reason="stop"))
    counted = client.messages.count_tokens(
        model=MODEL, system="x", messages=[{"role": "user", "content": "Hi"}]
    )
    assert counted.input_tokens == 12
    assert sent(stage).render_only


USER = {"role": "user", "content": "Hi"}


@pytest.mark.parametrize(
    ("changed", "status", "text"),
    [
        ({"model": ""}, 400, "model is required"),
        ({"model": "nope"}, 404, "model 'nope' not found"),
        ({"model": "a b"}, 400, "invalid model name"),
        ({"model": "test/embedder"}, 400, '"test/embedder" does not support messages'),
        ({"max_tokens": None}, 400, "max_tokens is required and must be positive"),
        ({"max_tokens": -1}, 400, "max_tokens: must be 0 or more"),
        ({"container": "container_1"}, 400, "container: "),
        ({"mcp_servers": [{"type": "url", "name": "a", "url": "https://a.b"}]}, 400, "mcp_servers: "),
        ({"thread": {"type": "create"}}, 400, "thread: "),
        ({"compaction": {"type": "compaction"}}, 400, "compaction: "),
        ({"thinking": {"type": "enabled", "display": "some"}}, 400, "display"),
        ({"messages": []}, 400, "messages is required"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, 400, "messages.0.role"),
        ({"messages": [USER] * 1001}, 400, "1001 messages are too many"),
        ({"messages": "Hi"}, 400, "invalid request"),
        ({"temperature": 1000}, 400, "Invalid value for 'temperature'"),
        ({"stop_sequences": [""]}, 400, "Invalid value for 'stop_sequences'"),
        ({"tools": [WEATHER]}, 400, "does not support tools"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, 400, "are not supported"),
        ({"tools": [{"name": ""}]}, 400, "tools.0"),
        ({"tool_choice": {"type": "any"}}, 400, "no tools to choose from"),
        ({"tool_choice": {"type": "tool", "name": "x"}}, 400, "there is no tool 'x'"),
        ({"tool_choice": {"type": "maybe"}}, 400, "tool_choice.type"),
        ({"thinking": {"type": "maybe"}}, 400, "thinking.type"),
        ({"output_config": {"effort": "huge"}}, 400, "output_config.effort"),
        ({"temperature": 1, "options": {"temperature": "hot"}}, 400, 'option "temperature"'),
        ({"output_config": {"format": {"type": "xml"}}}, 400, "json_schema"),
        ({"keep_alive": "10"}, 400, "missing unit"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url"}}]}]},
            400,
            "invalid image source type: url. Only base64 images are supported.",
        ),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "name": "x"}]}]},
            400,
            "tool_use block missing required 'id' field",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, 400, "'tool_use_id'"),
        ({"messages": [{"role": "user", "content": [{"type": "container_upload"}]}]}, 400, "'container_upl"),
        *(
            (
                {"messages": [{"role": "user", "content": [{"type": "search_result", **found}]}]},
                400,
                "need a ",
            )
            for found in (
                {"source": "", "content": []},
                {"title": "", "content": []},
                {"title": "", "source": "", "content": ""},
            )
        ),
        ({"system": [{"type": "image"}]}, 400, "only text blocks"),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {
                                "type": "image",
                                "source": {"type": "base64", "data": base64.b64encode(PNG).decode()},
                            }
                        ],
                    }
                ]
            },
            400,
            "does not support images",
        ),
    ],
)
def test_mistakes_are_said_in_anthropics_shape(
    stage: Stage, changed: dict[str, Any], status: int, text: str
) -> None:
    answered, _, body = stage.post("/v1/messages", {**BODY, **changed})
    error = json.loads(body)
    assert answered == status
    assert error["type"] == "error"
    assert text in error["error"]["message"]
    assert error["error"]["type"] == ("not_found_error" if status == 404 else "invalid_request_error")
    assert error["request_id"].startswith("req_")
    assert stage.engine.requests == []


@pytest.mark.parametrize("depth", [2, 5000])
def test_results_in_results_are_refused(stage: Stage, depth: int) -> None:
    block = '{"type":"tool_result","tool_use_id":"x","content":[' * depth + "]}" * depth
    messages = f'[{{"role":"user","content":[{block}]}}]'
    body = f'{{"model":"{MODEL}","max_tokens":9,"messages":{messages}}}'
    assert stage.post("/v1/messages", body.encode())[0] == 400


def test_the_clients_errors(stage: Stage, client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(**BODY | {"model": "nope"})  # type: ignore[arg-type]
    stage.plays(Failed.of(Busy()))
    with pytest.raises(anthropic.InternalServerError) as error:
        client.messages.create(**BODY)  # type: ignore[arg-type]
    assert error.value.status_code == 503
    assert error.value.body["error"]["type"] == "overloaded_error"  # type: ignore[index]


def test_an_error_in_mid_stream_is_an_event(stage: Stage, client: anthropic.Anthropic) -> None:
    stage.plays(Text(text="one "), Failed.of(InferenceError("It broke.")))
    with pytest.raises(anthropic.APIStatusError, match=r"It broke\."):
        for _ in client.messages.create(**BODY, stream=True):  # type: ignore[call-overload]
            pass


def test_wrong_methods_and_paths(stage: Stage) -> None:
    for method, path, status in (("GET", "/v1/messages", 405), ("POST", "/v1/messages/zzz", 404)):
        answered, _, body = stage.request(method, path)
        assert (answered, json.loads(body)["type"]) == (status, "error")


def test_the_client_lists_models_where_openais_does(client: anthropic.Anthropic) -> None:
    assert MODEL in [model.id for model in client.models.list()]
