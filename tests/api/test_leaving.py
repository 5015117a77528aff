"""A client that leaves ends its request in the engine, in every dialect, streamed or not."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from inference.protocol import Drawing, Event, Loading, Request, Text
from tests.api.stage import HELLO, Stage
from tests.serving import MODEL, eventually

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


def leave(stage: Stage, path: str, body: dict[str, Any], first: Event) -> None:
    """Ask, wait until the engine has said ``first``, and hang up."""
    begun = threading.Event()

    async def script(request: Request) -> AsyncIterator[Event]:
        yield first
        begun.set()
        await asyncio.Event().wait()

    stage.engine.script = script
    data = json.dumps(body).encode()
    address = urlsplit(stage.server.url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: {len(data)}\r\n\r\n"
        connection.sendall(head.encode() + data)
        assert begun.wait(5)
        assert stage.engine.closed == 0
    eventually(lambda: stage.engine.closed == 1, lambda: "still being answered", seconds=5)
