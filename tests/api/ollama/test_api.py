"""The API over a real server, with an engine that does what the test says."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import ollama
import pytest

from inference.errors import Busy, EngineDied, InferenceError, LoadFailed
from inference.protocol import Done, Event, Failed, Generate, Load, Loading, Queued, Request, Text, Unload
from tests.api.stage import HELLO, Stage
from tests.serving import MODEL


@pytest.fixture
def client(stage: Stage) -> ollama.Client:
    return ollama.Client(stage.server.url)


def test_version_and_root(stage: Stage) -> None:
    status, headers, body = stage.request("GET", "/api/version")
    assert (status, json.loads(body)["version"]) == (200, "0.33.0")
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert stage.request("HEAD", "/api/version")[::2] == (200, b"")
    assert stage.request("GET", "/")[::2] == (200, b"Ollama is running")
    assert stage.request("HEAD", "/")[0] == 200


def test_chat_not_streamed(client: ollama.Client) -> None:
    answer = client.chat(MODEL, HELLO)
    assert answer.message.content == "one two three "
    assert answer.model == MODEL
    assert answer.done_reason == "stop"
    assert (answer.prompt_eval_count, answer.eval_count) == (3, 3)


def test_chat_streamed(client: ollama.Client) -> None:
    frames = list(client.chat(MODEL, HELLO, stream=True))
    assert [frame.message.content for frame in frames] == ["one ", "two ", "three ", ""]
    assert [frame.done for frame in frames] == [False, False, False, True]
    assert all(isinstance(frame.created_at, str) for frame in frames)


def test_frames_on_the_wire(stage: Stage) -> None:
    status, headers, body = stage.post("/api/chat", {"model": MODEL, "messages": HELLO})
    assert (status, headers["content-type"]) == (200, "application/x-ndjson")
    lines = body.split(b"\n")
    assert lines.pop() == b""
    first, last = json.loads(lines[0]), json.loads(lines[-1])
    assert set(first) == {"model", "created_at", "message", "done"}
    assert first["message"] == {"role": "assistant", "content": "one "}
    assert last["message"] == {"role": "assistant", "content": ""}
    assert last["done_reason"] == "stop"
    assert "load_duration" not in last, "zero metrics are absent"


def test_generate(stage: Stage, client: ollama.Client) -> None:
    answer = client.generate(MODEL, "one two", system="Be brief.")
    assert answer.response == "one two "
    sent = stage.engine.requests[-1]
    assert isinstance(sent, Generate)
    assert [(message.role, message.content) for message in sent.messages] == [
        ("system", "Be brief."),
        ("user", "one two"),
    ]
    frames = list(client.generate(MODEL, "one two", stream=True))
    assert [frame.response for frame in frames] == ["one ", "two ", ""]


def test_raw_goes_in_as_it_is_and_comes_without_context(stage: Stage, client: ollama.Client) -> None:
    async def script(request: Request) -> AsyncIterator[Event]:
        yield Done(reason="stop", context=(1, 2))

    stage.engine.script = script
    assert client.generate(MODEL, "x").context == [1, 2]
    assert client.generate(MODEL, "x", raw=True).context is None
    sent = stage.engine.requests[-1]
    assert isinstance(sent, Generate)
    assert (sent.prompt, sent.messages) == ("x", ())


def test_options_and_keep_alive_reach_the_engine(stage: Stage, client: ollama.Client) -> None:
    client.chat(MODEL, HELLO, options={"temperature": 0, "stop": ["x"], "foo": 1}, keep_alive="90s")
    sent = stage.engine.requests[-1]
    assert isinstance(sent, Generate)
    assert (sent.options.temperature, sent.options.stop, sent.keep_alive) == (0, ("x",), 90)


@pytest.mark.parametrize("stream", [True, False])
def test_no_prompt_loads_and_keep_alive_zero_unloads(stage: Stage, stream: bool) -> None:
    """One object, also where a stream was asked for."""
    for path, more in (("/api/generate", {}), ("/api/chat", {"messages": []})):
        for keep_alive, reason, kind in ((None, "load", Load), (0, "unload", Unload)):
            body = {"model": MODEL, "stream": stream, "keep_alive": keep_alive, **more}
            status, headers, text = stage.post(path, body)
            assert (status, json.loads(text)["done_reason"]) == (200, reason)
            assert headers["content-type"] == "application/json; charset=utf-8"
            assert not text.endswith(b"\n")
            assert isinstance(stage.engine.requests[-1], kind)


@pytest.mark.parametrize("path", ["/api/generate", "/api/chat"])
@pytest.mark.parametrize("model", ["test/embedder", "test/reranker", "test/image"])
@pytest.mark.parametrize("keep_alive", [0, 0.0, "0s", "-0"])
def test_any_model_is_unloaded(stage: Stage, path: str, model: str, keep_alive: Any) -> None:
    """As ``ollama stop`` asks for it."""
    status, _, text = stage.post(path, {"model": model, "keep_alive": keep_alive})
    assert (status, json.loads(text)["done_reason"]) == (200, "unload")
    assert isinstance(stage.engine.requests[-1], Unload)


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("/api/chat", {"options": {"repeat_penalty": -1896240}}),
        ("/api/chat", {"format": "yaml"}),
        ("/api/chat", {"template": "{% for"}),
        ("/api/chat", {"tool_choice": "required"}),
        ("/api/generate", {"options": {"temperature": "hot"}}),
        ("/api/generate", {"raw": True, "system": "y"}),
        ("/api/generate", {"model": "test/image", "width": 100_000}),
    ],
)
def test_what_unloads_has_to_be_right_as_well(stage: Stage, path: str, wrong: dict[str, Any]) -> None:
    status, _, text = stage.post(path, {"model": MODEL, "keep_alive": 0, **wrong})
    assert status == 400, text


@pytest.mark.parametrize(
    ("path", "body", "status", "error"),
    [
        ("/api/chat", {}, 400, "model is required"),
        ("/api/generate", {}, 404, "model '' not found"),
        ("/api/chat", {"model": "nope"}, 404, "model 'nope' not found"),
        ("/api/generate", {"model": "nope:8b"}, 404, "model 'nope:8b' not found"),
        ("/api/chat", {"model": "../x"}, 400, "invalid model name"),
        ("/api/chat", b"", 400, "missing request body"),
        ("/api/chat", {"model": MODEL, "keep_alive": "10"}, 400, 'time: missing unit in duration "10"'),
        ("/api/embed", {"model": "nope", "keep_alive": True}, 400, "Unsupported type: 'bool'"),
        ("/api/generate", {"top_logprobs": 21}, 400, "top_logprobs must be between 0 and 20"),
        (
            "/api/chat",
            {"model": "nope", "think": "x"},
            400,
            'invalid think value: "x" (must be "high", "medium", "low", "max", true, or false)',
        ),
        (
            "/api/generate",
            {"model": MODEL, "prompt": "x", "raw": True, "system": "y"},
            400,
            "raw mode does not support template, system, or context",
        ),
        (
            "/api/chat",
            {"model": MODEL, "messages": HELLO, "options": {"temperature": "hot"}},
            400,
            'option "temperature" must be of type float32',
        ),
        (
            "/api/chat",
            {"model": MODEL, "messages": HELLO, "think": True},
            400,
            f'"{MODEL}" does not support thinking',
        ),
        (
            "/api/chat",
            {"model": MODEL, "messages": HELLO, "tools": [{"type": "function"}]},
            400,
            f"registry.ollama.ai/{MODEL}:latest does not support tools",
        ),
        (
            "/api/generate",
            {"model": MODEL, "prompt": "x", "suffix": "y"},
            400,
            f"registry.ollama.ai/{MODEL}:latest does not support insert",
        ),
        (
            "/api/generate",
            {"model": "test/vision", "prompt": "x", "raw": True, "images": ["Qk0="]},
            400,
            "images go with a prompt that the model's template has a place for: not raw or suffix",
        ),
        (
            "/api/chat",
            {"model": MODEL, "messages": [{"role": "user", "content": "x", "images": ["aGk="]}]},
            400,
            f'"{MODEL}" does not support images',
        ),
    ],
)
def test_errors_word_for_word(stage: Stage, path: str, body: Any, status: int, error: str) -> None:
    """13"""
    answered, headers, text = stage.post(path, body)
    assert (answered, json.loads(text)) == (status, {"error": error})
    assert headers["content-type"].startswith("application/json")
    assert stage.engine.requests == [], "nothing was loaded"


def test_an_unknown_model_is_a_404_in_a_stream_too(client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError) as error:
        next(client.chat("nope", HELLO, stream=True))
    assert (error.value.status_code, error.value.error) == (404, "model 'nope' not found")


@pytest.mark.parametrize("think", [False, None])
def test_no_thinking_and_no_tools_is_fine(client: ollama.Client, think: bool | None) -> None:
    assert client.chat(MODEL, HELLO, think=think, tools=[]).done


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/api/chat"), ("DELETE", "/api/tags"), ("PUT", "/api/generate")]
)
def test_wrong_methods(stage: Stage, method: str, path: str) -> None:
    status, _, body = stage.request(method, path)
    assert (status, json.loads(body)) == (405, {"error": "405 method not allowed"})


@pytest.mark.parametrize("body", [b"{bad", b"[]", b'{"model":', b"1", b"\xff"])
@pytest.mark.parametrize(
    "path", ["chat", "generate", "embed", "embeddings", "show", "create", "copy", "pull", "push"]
)
def test_what_is_no_request_is_a_text_in_json(stage: Stage, path: str, body: bytes) -> None:
    """14"""
    status, headers, text = stage.post(f"/api/{path}", body)
    assert (status, headers["content-type"]) == (400, "application/json")
    (error,) = json.loads(text).values()
    assert error.startswith("invalid request: ")
    assert json.loads(stage.post(f"/api/{path}", b"")[2]) == {"error": "missing request body"}


@pytest.mark.parametrize("path", ["/api/zzz", "/api/", "/api/chat/more"])
def test_unknown_paths(stage: Stage, path: str) -> None:
    """14"""
    status, _, body = stage.post(path, {})
    assert (status, json.loads(body)) == (404, {"error": "404 page not found"})


def test_an_address_that_ends_with_a_slash_is_as_good(stage: Stage) -> None:
    """15"""
    with httpx.Client(base_url=stage.server.url, follow_redirects=True) as http:
        for path in ("//api/chat", "/api/chat/", "//api//chat/?a=b"):
            body = {"model": MODEL, "messages": HELLO, "stream": False}
            assert http.post(f"{stage.server.url}{path}", json=body).json()["done"] is True
    assert len(stage.engine.requests) == 3
    status, headers, _ = stage.request("GET", "//api/tags?a=b")
    assert (status, headers["location"]) == (301, "/api/tags?a=b")
    for path in ("//api/nothing", "//no/page", "//evil.example/api/tags"):
        assert stage.request("POST", path, {})[0] == 404


def test_an_empty_answer_is_of_no_type(stage: Stage) -> None:
    for method, path, body in (
        ("POST", "copy", {"source": MODEL, "destination": "copied"}),
        ("DELETE", "delete", {"model": "copied"}),
    ):
        status, headers, text = stage.request(method, f"/api/{path}", body)
        assert (status, text, headers["content-type"], headers["content-length"]) == (200, b"", None, "0")
    answer = stage.request("OPTIONS", "/api/chat", headers={"Origin": "http://localhost:3000"})
    assert (answer[0], answer[1]["content-type"], answer[1]["content-length"]) == (204, None, None)


def test_the_content_type_does_not_matter(stage: Stage) -> None:
    """15"""
    body = {"model": MODEL, "messages": HELLO, "stream": False}
    for kind in ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data", ""):
        status, _, text = stage.post("/api/chat", body, {"Content-Type": kind})
        assert (status, json.loads(text)["done"]) == (200, True)


def test_a_chunked_body_is_read(stage: Stage) -> None:
    body = json.dumps({"model": MODEL, "messages": HELLO, "stream": False}).encode()
    connection = http.client.HTTPConnection(urlsplit(stage.server.url).netloc, timeout=30)
    connection.request("POST", "/api/chat", iter([body[:10], body[10:]]), encode_chunked=True)
    assert json.loads(connection.getresponse().read())["done"] is True
    connection.close()


@pytest.mark.parametrize("depth", [33, 100, 500, 900])
def test_a_schema_that_is_nested_too_deeply_is_the_clients_mistake(stage: Stage, depth: int) -> None:
    schema = '{"a":' * depth + "{}" + "}" * depth
    for path, more in (
        ("/api/chat", f'"format":{schema}'),
        (
            "/v1/chat/completions",
            f'"response_format":{{"type":"json_schema","json_schema":{{"schema":{schema}}}}}',
        ),
        ("/v1/messages", f'"max_tokens":9,"tools":[{{"name":"f","input_schema":{schema}}}]'),
    ):
        body = f'{{"model":"{MODEL}","messages":[{{"role":"user","content":"x"}}],{more}}}'.encode()
        assert stage.request("POST", path, body, {})[0] == 400, path


@pytest.mark.parametrize("depth", [33, 500, 950, 960, 970])
def test_arguments_that_are_nested_too_deeply_are_the_clients_mistake(stage: Stage, depth: int) -> None:
    """Those that can be read may yet be too deep for whatever writes them again."""
    arguments = '{"a":' + "[" * depth + "]" * depth + "}"
    text = json.dumps(arguments)
    chat = (
        '{"role":"assistant","content":"","tool_calls":[{"id":"a","function":{"name":"f","arguments":%s}}]}'
    )
    used = f'{{"type":"tool_use","id":"a","name":"f","input":{arguments}}}'
    for path, more in (
        ("/api/chat", f'"messages":[{chat % arguments}]'),
        ("/v1/chat/completions", f'"messages":[{chat % text}]'),
        ("/v1/messages", f'"max_tokens":9,"messages":[{{"role":"assistant","content":[{used}]}}]'),
        (
            "/v1/responses",
            f'"input":[{{"type":"function_call","call_id":"a","name":"f","arguments":{text}}}]',
        ),
    ):
        body = f'{{"model":"{MODEL}",{more}}}'.encode()
        assert stage.request("POST", path, body, {})[0] == 400, path


def test_a_body_of_20_megabytes_is_read(stage: Stage) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "x" * 20_000_000}], "stream": False}
    status, _, text = stage.post("/api/chat", body)
    assert (status, len(json.loads(text)["message"]["content"])) == (200, 20_000_001)


@pytest.mark.parametrize(
    ("error", "status"), [(LoadFailed("It cannot be loaded."), 500), (Busy(), 503), (InferenceError(), 500)]
)
@pytest.mark.parametrize("stream", [True, False])
def test_an_error_before_the_first_text_has_its_status(
    stage: Stage, error: InferenceError, status: int, stream: bool
) -> None:
    async def script(request: Request) -> AsyncIterator[Event]:
        yield Queued(position=1)
        yield Loading(seconds=0.1)
        yield Failed.of(error)

    stage.engine.script = script
    answered, headers, body = stage.post("/api/chat", {"model": MODEL, "messages": HELLO, "stream": stream})
    assert (answered, json.loads(body)) == (status, {"error": error.message})
    assert ("retry-after" in headers) == error.retryable


def test_an_error_in_mid_stream_is_the_last_line(stage: Stage, client: ollama.Client) -> None:
    async def script(request: Request) -> AsyncIterator[Event]:
        yield Text(text="one ")
        yield Failed.of(InferenceError("It broke."))

    stage.engine.script = script
    status, _, body = stage.post("/api/chat", {"model": MODEL, "messages": HELLO})
    lines = [json.loads(line) for line in body.splitlines()]
    assert status == 200
    assert lines[0]["message"]["content"] == "one "
    assert lines[1:] == [{"error": "It broke."}]
    with pytest.raises(ollama.ResponseError) as error:
        list(client.chat(MODEL, HELLO, stream=True))
    assert error.value.status_code == -1


def test_a_dead_engine_is_the_last_line(stage: Stage) -> None:
    async def script(request: Request) -> AsyncIterator[Event]:
        yield Text(text="one ")
        stage.engine.die()
        yield Text(text="never seen")

    stage.engine.script = script
    _, _, body = stage.post("/api/chat", {"model": MODEL, "messages": HELLO})
    assert json.loads(body.splitlines()[-1]) == {"error": EngineDied().message}


def test_many_streams_at_once_lose_nothing(client: ollama.Client) -> None:
    words = " ".join(str(number) for number in range(200))
    results: list[str] = []

    def run() -> None:
        stream = client.chat(MODEL, [{"role": "user", "content": words}], stream=True)
        results.append("".join(frame.message.content or "" for frame in stream))

    threads = [threading.Thread(target=run) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == [words + " "] * 32


def test_tags_and_ps(client: ollama.Client) -> None:
    assert f"{MODEL}:latest" in [model.model for model in client.list().models]
    assert client.ps().models == []
