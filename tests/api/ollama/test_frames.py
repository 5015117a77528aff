"""What tools, thoughts, logprobs and pictures look like to Ollama's own client."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import ollama
import pytest

from inference.errors import InferenceError
from inference.protocol import (
    Called,
    Done,
    Draw,
    Drawing,
    Failed,
    Generate,
    Loading,
    Logprob,
    Picture,
    Queued,
    Reading,
    Rendered,
    Text,
    Thought,
    ToolCall,
    Usage,
)
from tests.api.stage import HELLO, Stage
from tests.serving import MODEL

PNG = b"\x89PNG\r\n\x1a\n..."
STOP = Done(reason="stop", usage=Usage(prompt=5, cached=3, completion=4))


@pytest.fixture
def client(stage: Stage) -> ollama.Client:
    return ollama.Client(stage.server.url)


def weather(city: str) -> str:
    """Tell the weather.

    Args:
      city: Where.
    """
    return city


def test_calls_come_whole_and_each_with_its_number(stage: Stage, client: ollama.Client) -> None:
    """22: two calls, a frame each, then a last frame without any."""
    stage.plays(
        Text(text="Let me see."),
        Called(call=ToolCall(name="weather", arguments={"city": "Tokyo", "a": [1]}, id="call_abcdefgh")),
        Called(call=ToolCall(name="weather", arguments={})),
        STOP,
    )
    frames = stage.lines("/api/chat", {"model": "test/tools", "messages": HELLO, "tools": []})
    assert [frame["message"].get("tool_calls") for frame in frames[:2]] == [
        None,
        [
            {
                "id": "call_abcdefgh",
                "function": {"index": 0, "name": "weather", "arguments": {"city": "Tokyo", "a": [1]}},
            }
        ],
    ]
    assert frames[2]["message"]["tool_calls"][0]["function"] == {
        "index": 1,
        "name": "weather",
        "arguments": {},
    }
    assert [frame["message"]["content"] for frame in frames] == ["Let me see.", "", "", ""]
    assert [frame["done"] for frame in frames] == [False, False, False, True]
    assert frames[-1]["done_reason"] == "stop"
    whole = client.chat("test/tools", HELLO, tools=[weather])
    assert [call.function.name for call in whole.message.tool_calls or ()] == ["weather", "weather"]
    sent = stage.engine.requests[-1]
    assert isinstance(sent, Generate)
    assert sent.tools[0].name == "weather"
    assert sent.tools[0].parameters["properties"]["city"]["type"] == "string"


def test_a_tools_result_goes_back_with_its_call(stage: Stage, client: ollama.Client) -> None:
    """21, 24: what the client sends of a call has neither content nor ids."""
    stage.plays(Called(call=ToolCall(name="weather", arguments={"city": "Tokyo"}, id="x")), STOP)
    called = client.chat("test/tools", HELLO, tools=[weather]).message
    stage.plays(Text(text="22 degrees."), STOP)
    answer = client.chat(
        "test/tools",
        [*HELLO, called, {"role": "tool", "content": "22", "tool_name": "weather"}],
        tools=[weather],
    )
    assert answer.message.content == "22 degrees."
    sent = stage.engine.requests[-1]
    assert isinstance(sent, Generate)
    assert sent.messages[1].tool_calls[0].arguments == {"city": "Tokyo"}
    assert sent.messages[2].tool_call_id == sent.messages[1].tool_calls[0].id != ""


def test_thoughts_have_a_field_of_their_own(stage: Stage, client: ollama.Client) -> None:
    """25"""
    stage.plays(Thought(text="Hm. "), Thought(text="Yes."), Text(text="42"), STOP)
    answer = client.chat("test/thinker", HELLO)
    assert (answer.message.thinking, answer.message.content) == ("Hm. Yes.", "42")
    frames = list(client.chat("test/thinker", HELLO, think="high", stream=True))
    assert [frame.message.thinking for frame in frames] == ["Hm. ", "Yes.", None, None]
    assert [frame.message.content for frame in frames] == ["", "", "42", ""]
    generated = client.generate("test/thinker", "x", think=False)
    assert (generated.thinking, generated.response) == ("Hm. Yes.", "42")
    thinks = [request.think for request in stage.engine.requests if isinstance(request, Generate)]
    assert thinks == [True, "high", False]


def test_logprobs_stand_beside_their_text(stage: Stage, client: ollama.Client) -> None:
    """37"""
    other = Logprob(token=2, text=" a", raw=b" a", logprob=-2.5)
    first = Logprob(token=1, text=" The", raw=b" The", logprob=-0.1, top=(other,))
    stage.plays(Text(text=" The", logprobs=(first,)), Text(text="", logprobs=(other,)), STOP)
    body = {"model": MODEL, "prompt": "x", "logprobs": True, "top_logprobs": 1}
    frames = stage.lines("/api/generate", body)
    assert frames[0]["logprobs"] == [
        {
            "token": " The",
            "logprob": -0.1,
            "bytes": [32, 84, 104, 101],
            "top_logprobs": [{"token": " a", "logprob": -2.5, "bytes": [32, 97]}],
        }
    ]
    assert len(frames) == 3, "a token without text has logprobs too"
    answer = client.chat(MODEL, HELLO, logprobs=True)
    assert len(answer.logprobs or ()) == 2
    for wrong in (21, -1):
        status, _, text = stage.post("/api/generate", {**body, "top_logprobs": wrong})
        assert (status, json.loads(text)) == (400, {"error": "top_logprobs must be between 0 and 20"})


def test_what_is_cached_is_told(stage: Stage) -> None:
    stage.plays(Text(text="x"), STOP)
    last = stage.lines("/api/generate", {"model": MODEL, "prompt": "x"})[-1]
    assert (last["prompt_eval_count"], last["cached_tokens"]) == (5, 3)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
def test_debug_shows_what_the_model_would_read(stage: Stage, path: str, stream: bool) -> None:
    stage.plays(Rendered(text="<|im_start|>x", tokens=3), Done(reason="stop"))
    body = {"model": MODEL, "messages": HELLO, "prompt": "x", "stream": stream, "_debug_render_only": True}
    status, _, text = stage.post(path, body)
    answer = json.loads(text)
    assert (status, answer["done"]) == (200, False)
    assert answer["_debug_info"] == {"rendered_template": "<|im_start|>x"}
    sent = stage.engine.requests[-1]
    assert isinstance(sent, Generate)
    assert sent.render_only


def test_who_asks_for_progress_is_told_what_is_waited_for(stage: Stage, client: ollama.Client) -> None:
    stage.plays(Queued(position=2), Loading(seconds=0.5), Reading(done=256, total=512), Text(text="x"), STOP)
    body = {"model": MODEL, "messages": HELLO}
    assert len(stage.lines("/api/chat", body)) == 2, "others are told nothing"
    frames = stage.lines("/api/chat", {**body, "progress": True})
    assert [frame.get("progress") for frame in frames] == [
        {"state": "queued", "position": 2},
        {"state": "loading", "seconds": 0.5},
        {"state": "reading", "completed": 256, "total": 512},
        None,
        None,
    ]
    assert "".join(frame["message"]["content"] for frame in frames) == "x"
    assert stage.post("/api/chat", {**body, "progress": True, "stream": False})[0] == 200


def test_pictures_come_with_their_steps(stage: Stage, client: ollama.Client) -> None:
    """45"""
    stage.plays(
        Drawing(done=1, total=2), Drawing(done=2, total=2), Picture(data=PNG, seed=7), Done(reason="stop")
    )
    frames = list(client.generate("test/image", "cat", width=64, height=64, steps=2, stream=True))
    assert [(frame.completed, frame.total) for frame in frames] == [(1, 2), (2, 2), (None, None)]
    assert [frame.done for frame in frames] == [False, False, True]
    assert base64.b64decode(frames[-1].image or "") == PNG
    whole = client.generate("test/image", "cat", options={"seed": 7}, images=[PNG])
    assert base64.b64decode(whole.image or "") == PNG
    sent = stage.engine.requests[-1]
    assert isinstance(sent, Draw)
    assert (sent.seed, sent.images) == (7, (PNG,))


def test_an_image_model_is_loaded_by_an_empty_prompt_and_does_not_chat(stage: Stage) -> None:
    stage.plays(Done(reason="load"))
    status, _, text = stage.post("/api/generate", {"model": "test/image"})
    assert (status, json.loads(text)["done_reason"]) == (200, "load")
    status, _, text = stage.post("/api/chat", {"model": "test/image", "messages": HELLO})
    assert (status, json.loads(text)) == (400, {"error": '"test/image" does not support chat'})
    status, _, text = stage.post("/api/generate", {"model": "test/image", "prompt": "x", "width": 5000})
    assert (status, json.loads(text)) == (400, {"error": "width and height must be <= 4096"})
    status, _, text = stage.post("/api/generate", {"model": "test/image", "prompt": "x", "raw": True})
    assert status == 400


def test_a_picture_that_fails_is_the_last_line(stage: Stage) -> None:
    stage.plays(Drawing(done=1, total=2), Failed.of(InferenceError("It broke.")))
    frames = stage.lines("/api/generate", {"model": "test/image", "prompt": "cat"})
    assert [set(frame) for frame in frames][1:] == [{"error"}]


def test_images_and_a_suffix_reach_the_engine(stage: Stage, client: ollama.Client, tmp_path: Path) -> None:
    """27"""
    file = tmp_path / "picture.png"
    file.write_bytes(PNG)
    for image in (PNG, base64.b64encode(PNG).decode(), file):
        client.chat("test/vision", [{"role": "user", "content": "x", "images": [image]}])
        client.generate("test/vision", "x", images=[image])
    sent = [request for request in stage.engine.requests if isinstance(request, Generate)]
    assert [request.messages[-1].images for request in sent] == [(PNG,)] * 6
    for wrong in ("not base64!", "data:image/png;base64," + base64.b64encode(PNG).decode(), "aGk="):
        body = {"model": "test/vision", "prompt": "x", "images": [wrong]}
        assert stage.post("/api/generate", body)[0] == 400
    client.generate("test/insert", "def f(", suffix="return 1")
    sent = [request for request in stage.engine.requests if isinstance(request, Generate)]
    assert (sent[-1].prompt, sent[-1].suffix) == ("def f(", "return 1")


def test_options_that_are_not_samplers_do_no_harm(stage: Stage, client: ollama.Client) -> None:
    client.chat(MODEL, HELLO, options={"top_k": 3, "num_keep": 5, "min_p": 0.1, "num_gpu": 1})
    sent = stage.engine.requests[-1]
    assert isinstance(sent, Generate)
    assert (sent.options.top_k, sent.options.num_keep, sent.options.min_p) == (3, 5, 0.1)
    assert (sent.truncate, sent.shift) == (True, True)
