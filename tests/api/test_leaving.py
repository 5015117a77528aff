"""A client that leaves ends its request in the engine, in every dialect, streamed or not."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from hugweb.api.anthropic import urls as anthropic
from hugweb.api.extras import urls as extras
from hugweb.api.ollama import urls as ollama
from hugweb.api.openai import urls as openai
from inference.protocol import Drawing, Event, Loading, Request, Text
from tests.api.stage import HELLO, Stage
from tests.conversations.test_attachments import png
from tests.serving import MODEL, eventually

DIALECTS: Any = (("api/", ollama), ("v1/", openai), ("v1/", anthropic), ("", extras))

CHAT = {"model": MODEL, "messages": HELLO, "max_tokens": 9}
PROMPT = {"model": MODEL, "prompt": "x"}
# Each endpoint that asks the engine: its body, and an event with which its answer may begin.
STREAMING: dict[str, tuple[dict[str, Any], Event]] = {
    "/api/chat": (CHAT, Text(text="one ")),
    "/api/generate": (PROMPT, Text(text="one ")),
    "/v1/messages": (CHAT, Text(text="one ")),
    "/v1/chat/completions": (CHAT, Text(text="one ")),
    "/v1/completions": (PROMPT, Text(text="one ")),
    "/v1/responses": ({"model": MODEL, "input": "x"}, Text(text="one ")),
    "/v1/images/generations": ({"model": "test/image", "prompt": "x"}, Drawing(done=1, total=2)),
}
WHOLE: dict[str, dict[str, Any]] = {
    "/api/embed": {"model": "test/embedder", "input": "x"},
    "/api/embeddings": {"model": "test/embedder", "prompt": "x"},
    "/api/tokenize": {"model": MODEL, "text": "x"},
    "/api/detokenize": {"model": MODEL, "tokens": [1]},
    "/api/rerank": {"model": "test/reranker", "query": "x", "documents": ["y"]},
    "/v1/rerank": {"model": "test/reranker", "query": "x", "documents": ["y"]},
    "/v1/messages/count_tokens": CHAT,
    "/v1/embeddings": {"model": "test/embedder", "input": "x"},
    "/v1/responses/input_tokens": {"model": MODEL, "input": "x"},
}
# Forms: their fields, the one that holds a file, and the file.
FORMS: dict[str, tuple[dict[str, str], str, bytes]] = {
    "/v1/images/edits": ({"model": "test/image", "prompt": "x"}, "image", png()),
    "/v1/images/variations": ({"model": "test/image"}, "image", png()),
    "/v1/audio/transcriptions": ({"model": "test/vision"}, "file", b"RIFF\0\0\0\0WAVE"),
    "/v1/audio/translations": ({"model": "test/vision"}, "file", b"RIFF\0\0\0\0WAVE"),
}
# What asks the engine nothing that takes long, or nothing at all; "/stream-message" has tests of its own.
QUICK = {
    *("/api/show", "/api/create", "/api/copy", "/api/push", "/api/pull", "/api/blobs/<str:digest>"),
    *("/v1/audio/speech", "/v1/moderations", "/v1/responses/<str:id>/cancel"),
    *("/v1/responses/compact", "/v1/chat/completions/<str:id>", "/v1/chat/completions/<str:id>/messages"),
}


def test_every_endpoint_that_asks_the_engine_is_here() -> None:
    views = {f"/{before}{one.pattern}": one.callback for before, urls in DIALECTS for one in urls.urlpatterns}
    asks = {path for path, view in views.items() if "POST" in getattr(view, "methods", ())}
    assert asks == {*STREAMING, *WHOLE, *FORMS, *QUICK}


@pytest.mark.parametrize("text_first", [True, False])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", STREAMING)
def test_before_the_first_text_and_after_it(stage: Stage, path: str, stream: bool, text_first: bool) -> None:
    body, first = STREAMING[path]
    leave(stage, path, {**body, "stream": stream}, first if text_first else Loading(seconds=1))


@pytest.mark.parametrize("stream", [True, False])
def test_while_a_picture_is_drawn(stage: Stage, stream: bool) -> None:
    body = {"model": "test/image", "prompt": "x", "stream": stream}
    leave(stage, "/api/generate", body, Drawing(done=1, total=2))


@pytest.mark.parametrize("path", WHOLE)
def test_answers_that_are_never_streamed(stage: Stage, path: str) -> None:
    leave(stage, path, WHOLE[path], Loading(seconds=1))


@pytest.mark.parametrize("stream", [True, False])
def test_of_several_prompts_none_goes_on(stage: Stage, stream: bool) -> None:
    body = {"model": MODEL, "prompt": ["x", "y", "z"], "stream": stream}
    leave(stage, "/v1/completions", body, Text(text="one "), requests=3)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/generate", {"model": MODEL}),
        ("/api/chat", {"model": MODEL, "messages": []}),
        ("/api/chat", {**CHAT, "_debug_render_only": True}),
        ("/v1/chat/completions", {**CHAT, "n": 2}),
        ("/v1/completions", {**PROMPT, "best_of": 2}),
        ("/v1/embeddings", {"model": "test/embedder", "input": ["x", "y"]}),
    ],
)
def test_requests_of_other_kinds(stage: Stage, path: str, body: dict[str, Any]) -> None:
    leave(stage, path, body, Loading(seconds=1))


@pytest.mark.parametrize("path", FORMS)
def test_forms_with_a_file(stage: Stage, path: str) -> None:
    fields, name, file = FORMS[path]
    request = httpx.Request("POST", f"{stage.server.url}{path}", data=fields, files={name: ("x", file)})
    leave(stage, path, request.read(), Loading(seconds=1), f"Content-Type: {request.headers['content-type']}")


def leave(
    stage: Stage, path: str, body: dict[str, Any] | bytes, first: Event, *headers: str, requests: int = 1
) -> None:
    """Ask, wait until the engine has said ``first`` to so many requests, and hang up."""
    begun = threading.Semaphore(0)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    address = urlsplit(stage.server.url)
    lines = (f"POST {path} HTTP/1.1", f"Host: {address.netloc}", f"Content-Length: {len(data)}", *headers)

    async def script(request: Request) -> AsyncIterator[Event]:
        yield first
        begun.release()
        await asyncio.Event().wait()

    stage.engine.script = script
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + data)
        for _ in range(requests):
            assert begun.acquire(timeout=30)
        assert stage.engine.closed == 0
    eventually(lambda: stage.engine.closed == requests, lambda: "still being answered")
