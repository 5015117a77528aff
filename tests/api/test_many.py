"""Many streams at once: as many as a busy home has, each whole and in order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx2

from inference.protocol import Done, Event, Request, Text, Usage
from tests.api.stage import Stage
from tests.serving import MODEL

STREAMS = 64
TOKENS = 40
SECONDS = 1.0


async def steady(request: Request) -> AsyncIterator[Event]:
    """The engine's steady pace: a token every 25 ms, each another one."""
    for index in range(TOKENS):
        await asyncio.sleep(SECONDS / TOKENS)
        yield Text(text=f"{index} ")
    yield Done(reason="stop", usage=Usage(prompt=3, completion=TOKENS))


async def test_no_stream_of_many_loses_a_token(stage: Stage) -> None:
    stage.engine.script = steady
    limits = httpx2.Limits(max_connections=STREAMS)
    async with httpx2.AsyncClient(timeout=60, limits=limits) as client:

        async def said(index: int) -> str:
            body = {"model": MODEL, "messages": [{"role": "user", "content": f"stream {index}"}]}
            async with client.stream("POST", f"{stage.server.url}/api/chat", json=body) as response:
                frames = [json.loads(line) async for line in response.aiter_lines()]
            assert frames[-1]["eval_count"] == TOKENS
            return "".join(frame["message"]["content"] for frame in frames)

        answers = await asyncio.gather(*map(said, range(STREAMS)))
    assert answers == ["".join(f"{index} " for index in range(TOKENS))] * STREAMS
