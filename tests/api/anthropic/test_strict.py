"""Whatever is sent fits the types of Anthropic's client strictly, and its own accumulators take it."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic.types import Message, MessageTokensCount, ModelInfo, RawMessageStreamEvent
from pydantic import BaseModel, TypeAdapter

from inference.errors import Busy, ContextOverflow, InferenceError
from inference.protocol import Called, Done, Event, Failed, Generate, Rendered, Text, Thought, ToolCall, Usage
from tests.api.stage import Stage

THINKER = "test/thinker"
USAGE = Usage(prompt=9, cached=4, completion=6)
CALL = Called(call=ToolCall(name="weather", arguments={"city": "Köln"}, id="toolu_1"))
TOOL: Any = {"name": "weather", "input_schema": {"type": "object"}}
ASK: Any = {
    "model": THINKER,
    "max_tokens": 6,
    "messages": [{"role": "user", "content": "Hi"}],
    "tools": [TOOL],
    "thinking": {"type": "enabled", "budget_tokens": 1024},
}
# What a model may answer, by name, and why it then ended.
ANSWERS: dict[str, tuple[str, tuple[Event, ...]]] = {
    "text": ("end_turn", (Text(text="Y"), Text(text="es"), Done(reason="stop", usage=USAGE))),
    "nothing": ("end_turn", (Done(reason="stop", usage=USAGE),)),
    "cut": ("max_tokens", (Text(text="Y"), Done(reason="length", usage=USAGE))),
    "full": ("model_context_window_exceeded", (Text(text="Y"), Done(reason="length"))),
    "stopped": ("stop_sequence", (Text(text="Y"), Done(reason="stop", stop_string="."))),
    "thoughts": ("end_turn", (Thought(text="H"), Thought(text="m"), Text(text="Yes"), Done(reason="stop"))),
    "calls": ("tool_use", (Thought(text="Hm"), Text(text="Wait."), CALL, CALL, Done(reason="stop"))),
    "call alone": ("tool_use", (CALL, Done(reason="stop"))),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_messages(stage: Stage, answer: str) -> None:
    reason, events = ANSWERS[answer]
    stage.plays(*events)
    status, _, text = stage.post("/v1/messages", ASK)
    assert status == 200, text
    whole = Message.model_validate_json(text, strict=True)
    assert whole.stop_reason == reason
    status, _, text = stage.post("/v1/messages", {**ASK, "stream": True})
    kinds = []
    for block in text.decode().strip().split("\n\n"):
        name, data = block.split("\n")
        kinds.append(name.removeprefix("event: "))
        assert json.loads(data.removeprefix("data: "))["type"] == kinds[-1]
        if kinds[-1] != "ping":
            TypeAdapter(RawMessageStreamEvent).validate_json(data.removeprefix("data: "), strict=True)
    blocks = kinds[2:-2]
    assert kinds == ["message_start", "ping", *blocks, "message_delta", "message_stop"]
    assert blocks.count("content_block_start") == blocks.count("content_block_stop") == len(whole.content)
    client = anthropic.Anthropic(base_url=stage.server.url, api_key="-", max_retries=0)
    with client, client.messages.stream(**ASK) as stream:
        seen = [event.type for event in stream]
        final = stream.get_final_message()
    assert seen[-1] == "message_stop"
    left_out = {"id": True, "content": {"__all__": {"parsed_output"}}}
    assert final.model_dump(exclude=left_out) == whole.model_dump(exclude=left_out)  # type: ignore[arg-type]


class Place(BaseModel):
    city: str


def test_the_clients_helpers(stage: Stage) -> None:
    """Parsed answers, its beta, and its runner of tools, which asks again with what a tool did; it would
    begin a thread, and goes on without one."""
    stage.plays(Text(text='{"city":'), Text(text='"Köln"}'), Done(reason="stop"))
    ask: Any = {"model": THINKER, "max_tokens": 6, "messages": ASK["messages"]}
    with anthropic.Anthropic(base_url=stage.server.url, api_key="-", max_retries=0) as client:
        assert client.messages.parse(**ask, output_format=Place).parsed_output == Place(city="Köln")
        beta = client.beta.messages
        assert beta.parse(**ask, output_format=Place, betas=["a-2026"]).parsed_output == Place(city="Köln")
        with beta.stream(**ask, context_management={"edits": []}) as stream:
            assert stream.get_final_message().content[0].type == "text"

        def weather(city: str) -> str:
            """Tells it."""
            stage.plays(Text(text="It rains."), Done(reason="stop"))
            return f"Rain in {city}."

        stage.plays(CALL, Done(reason="stop"))
        final = beta.tool_runner(**ask, tools=[anthropic.beta_tool(weather)]).until_done()
    assert [block.type for block in final.content] == ["text"]
    request = stage.engine.requests[-1]
    assert isinstance(request, Generate)
    assert [(message.role, message.content) for message in request.messages[1:]] == [
        ("assistant", ""),
        ("tool", "Rain in Köln."),
    ]


def test_counted_tokens(stage: Stage) -> None:
    stage.plays(Rendered(text="…", tokens=4), Done(reason="stop"))
    status, _, text = stage.post("/v1/messages/count_tokens", ASK)
    assert (status, MessageTokensCount.model_validate_json(text, strict=True).input_tokens) == (200, 4)


def test_models(stage: Stage) -> None:
    told = httpx2.get(f"{stage.server.url}/v1/models").json()["data"]
    listed = [ModelInfo.model_validate_json(json.dumps(one), strict=True) for one in told]
    with anthropic.Anthropic(base_url=stage.server.url, api_key="-", max_retries=0) as client:
        assert [one.id for one in client.models.list()] == [one.id for one in listed]
        one = client.models.retrieve(THINKER)
    assert one in listed and (one.type, one.display_name) == ("model", THINKER)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("failure", "kind", "told"),
    [
        (Busy(), anthropic.InternalServerError, "overloaded_error"),
        (ContextOverflow("It is too long."), anthropic.BadRequestError, "invalid_request_error"),
        (InferenceError("It broke."), anthropic.InternalServerError, "api_error"),
    ],
)
def test_errors_are_the_clients_own(
    stage: Stage, failure: InferenceError, kind: type[anthropic.APIStatusError], told: str, stream: bool
) -> None:
    stage.plays(Failed.of(failure))
    with anthropic.Anthropic(base_url=stage.server.url, api_key="-", max_retries=0) as client:
        with pytest.raises(kind) as error:
            client.messages.create(**ASK, stream=stream)
        body: Any = error.value.body
        assert (error.value.status_code, body["error"]["type"]) == (failure.status, told)
        stage.plays(Text(text="Y"), Failed.of(failure))
        with pytest.raises(anthropic.APIStatusError) as error, client.messages.stream(**ASK) as streamed:
            streamed.get_final_message()
        body = error.value.body
        assert body["error"] == {"type": told, "message": failure.message}
