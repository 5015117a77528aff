"""Ollama's own Python client, in its asynchronous form."""

from __future__ import annotations

import asyncio

import ollama
import pytest

from inference.protocol import Done, Text
from tests.api.stage import HELLO, Stage
from tests.serving import MODEL


@pytest.fixture
def client(stage: Stage) -> ollama.AsyncClient:
    return ollama.AsyncClient(stage.server.url)


async def test_lists_shows_and_chats(stage: Stage, client: ollama.AsyncClient) -> None:
    assert f"{MODEL}:latest" in [model.model for model in (await client.list()).models]
    assert (await client.show(MODEL)).capabilities == ["completion"]
    answer = await client.chat(MODEL, HELLO)
    assert answer.message.content == "one two three "
    frames = [frame async for frame in await client.chat(MODEL, HELLO, stream=True)]
    assert "".join(frame.message.content or "" for frame in frames) == "one two three "
    assert [frame.done for frame in frames].count(True) == 1
    with pytest.raises(ollama.ResponseError, match="model 'nope' not found"):
        await client.generate("nope", "x")


async def test_many_at_once(stage: Stage, client: ollama.AsyncClient) -> None:
    answers = await asyncio.gather(*(client.generate(MODEL, f"number {n}") for n in range(20)))
    assert [answer.response for answer in answers] == [f"number {n} " for n in range(20)]


async def test_a_stream_that_is_closed_ends_the_request(stage: Stage, client: ollama.AsyncClient) -> None:
    """40"""

    async def endless(request: object):  # type: ignore[no-untyped-def]
        yield Text(text="one ")
        await asyncio.Event().wait()
        yield Done(reason="stop")

    stage.engine.script = endless
    stream = await client.chat(MODEL, HELLO, stream=True)
    async for _ in stream:
        break
    await stream.aclose()  # type: ignore[attr-defined]
    async with asyncio.timeout(30):
        while not stage.engine.closed:
            await asyncio.sleep(0.01)
