"""Whatever is sent fits the types of OpenAI's client strictly: its own reader takes nearly anything."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest
from openai.types import Completion as TextCompletion
from openai.types import (
    CreateEmbeddingResponse,
    ImageEditCompletedEvent,
    ImageGenCompletedEvent,
    ImagesResponse,
    Model,
)
from openai.types.audio import Transcription
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from openai.types.responses.input_token_count_response import InputTokenCountResponse
from pydantic import BaseModel, TypeAdapter

from inference.errors import InferenceError
from inference.protocol import (
    Called,
    Done,
    Embedded,
    Event,
    Failed,
    Logprob,
    Picture,
    Rendered,
    Text,
    Thought,
    ToolCall,
    Usage,
)
from tests.api.openai.conftest import ABLE, MODEL, PICTURES, VECTORS, Stage

PNG = b"\x89PNG\r\n\x1a\n"
PNG_URL = "data:image/png;base64," + base64.b64encode(PNG).decode()
HELLO = [{"role": "user", "content": "one two"}]
FUNCTION = {"name": "weather", "parameters": {"type": "object"}}
TOOLS = [{"type": "function", "function": FUNCTION}]
TOKEN = Logprob(token=1, text="Y", raw=b"Y", logprob=-0.5)
WITH_TOP = Logprob(
    token=1, text="Y", raw=b"Y", logprob=-0.5, top=(TOKEN, Logprob(token=2, text="", raw=b"", logprob=None))
)
USAGE = Usage(prompt=9, cached=4, completion=6)
DONE, CUT = Done(reason="stop", usage=USAGE), Done(reason="length", usage=USAGE)
CALL = Called(call=ToolCall(name="weather", arguments={"city": "Köln"}, id="call_1"), logprobs=(WITH_TOP,))
# What a model may answer, by name.
ANSWERS: dict[str, tuple[Event, ...]] = {
    "text": (Text(text="Y", logprobs=(WITH_TOP,)), Text(text="es"), DONE),
    "nothing": (DONE,),
    "cut": (Text(text="Y"), CUT),
    "thoughts": (Thought(text="Hm", logprobs=(WITH_TOP,)), Text(text="Yes"), DONE),
    "thoughts only": (Thought(text="Hm"), CUT),
    "calls": (Thought(text="Hm"), Text(text="Wait."), CALL, CALL, DONE),
    "call alone": (CALL, CUT),
}
WAYS: list[dict[str, Any]] = [
    {},
    {"n": 2, "logprobs": True, "top_logprobs": 2},
    {"tools": TOOLS, "stream_options": {"include_usage": True}},
    {"functions": [FUNCTION]},
]
RESPONSE_WAYS: list[dict[str, Any]] = [
    {},
    {
        "tools": [{"type": "function", **FUNCTION, "strict": True}],
        "tool_choice": {"type": "function", "name": "weather"},
        "instructions": "Be brief.",
        "metadata": {"a": "b"},
        "reasoning": {"effort": "high", "summary": "auto"},
    },
    {
        "include": ["message.output_text.logprobs"],
        "top_logprobs": 2,
        "text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}}},
        "max_output_tokens": 5,
        "temperature": 0.5,
        "truncation": "auto",
        "store": False,
    },
]


def fits(kind: Any, text: str | bytes) -> Any:
    """``text`` as a ``kind``, with every field of the type that the client says."""
    return TypeAdapter(kind).validate_json(text, strict=True)


def whole(stage: Stage, kind: type[BaseModel], path: str, body: Any) -> Any:
    status, _, text = stage.post(path, body)
    assert status == 200, text
    return fits(kind, text)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("answer", ANSWERS)
def test_chats(stage: Stage, answer: str, way: dict[str, Any]) -> None:
    stage.plays(*ANSWERS[answer])
    ask = {"model": ABLE, "messages": HELLO, **way}
    completion = whole(stage, ChatCompletion, "/v1/chat/completions", ask)
    assert len(completion.choices) == way.get("n", 1)
    *frames, end = stage.data("/v1/chat/completions", {**ask, "stream": True})
    assert end == "[DONE]"
    chunks = [fits(ChatCompletionChunk, frame) for frame in frames]
    reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    assert reasons == [choice.finish_reason for choice in completion.choices]


@pytest.mark.parametrize("way", RESPONSE_WAYS)
@pytest.mark.parametrize("answer", ANSWERS)
def test_responses(stage: Stage, answer: str, way: dict[str, Any]) -> None:
    stage.plays(*ANSWERS[answer])
    ask = {"model": ABLE, "input": "one", **way}
    response = whole(stage, Response, "/v1/responses", ask)
    events = [
        fits(ResponseStreamEvent, event) for event in stage.data("/v1/responses", {**ask, "stream": True})
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [item.type for item in events[-1].response.output] == [item.type for item in response.output]
    if way.get("store", True):
        _, _, text = stage.request("GET", f"/v1/responses/{response.id}")
        assert fits(Response, text) == response


def test_a_response_that_fails(stage: Stage) -> None:
    stage.plays(Thought(text="Hm"), Text(text="Y"), Failed.of(InferenceError("It broke.")))
    events = stage.data("/v1/responses", {"model": ABLE, "input": "one", "stream": True})
    *_, failed, error = [fits(ResponseStreamEvent, event) for event in events]
    assert (failed.type, error.type, error.message) == ("response.failed", "error", "It broke.")


def test_completions(stage: Stage) -> None:
    """Their types know no logprob of a first token, and no chunk before the last."""
    ask = {"model": ABLE, "prompt": ["a", [1, 2]], "logprobs": 2}
    stage.plays(*ANSWERS["text"])
    completion = whole(stage, TextCompletion, "/v1/completions", ask)
    assert [choice.text for choice in completion.choices] == ["Yes", "Yes"]


def test_other_answers(stage: Stage) -> None:
    stage.plays(Embedded(vectors=struct.pack("<2f", 0.6, 0.8), width=2), DONE)
    whole(stage, CreateEmbeddingResponse, "/v1/embeddings", {"model": VECTORS, "input": "one"})
    stage.plays(Rendered(text="…", tokens=4), DONE)
    whole(stage, InputTokenCountResponse, "/v1/responses/input_tokens", {"model": MODEL, "input": "one"})
    _, _, listed = stage.request("GET", f"/v1/models/{MODEL}")
    assert fits(Model, listed).id == MODEL


@pytest.mark.parametrize(
    ("path", "kind", "event"),
    [
        ("generations", {}, ImageGenCompletedEvent),
        ("edits", {"image": PNG_URL}, ImageEditCompletedEvent),
        ("variations", {"image": PNG_URL}, ImageEditCompletedEvent),
    ],
)
def test_pictures(stage: Stage, path: str, kind: Any, event: Any) -> None:
    stage.plays(Picture(data=PNG, seed=1), Picture(data=PNG, seed=2), DONE)
    ask = {"model": PICTURES, "prompt": "a cat", "n": 2, "size": "64x64", **kind}
    assert len(whole(stage, ImagesResponse, f"/v1/images/{path}", ask).data) == 2
    events = stage.data(f"/v1/images/{path}", {**ask, "stream": True})
    assert [fits(event, one).size for one in events] == ["64x64"] * 2


def test_what_is_heard(stage: Stage) -> None:
    stage.plays(Text(text="Hello."), DONE)
    heard = stage.client.audio.transcriptions.with_raw_response.create(
        model=ABLE, file=("a.wav", b"RIFF\x00\x00\x00\x00WAVE")
    )
    assert fits(Transcription, heard.text).text == "Hello."
