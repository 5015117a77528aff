"""Stand-ins at the seams: an engine that speaks the real wire and does what a test tells it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from inference import protocol
from inference.protocol import (
    Done,
    EngineStatus,
    Event,
    Generate,
    Load,
    LoadedModel,
    Request,
    Text,
    Unload,
    Usage,
)

Script = Callable[[Request], AsyncIterator[Event]]


async def echo(request: Request) -> AsyncIterator[Event]:
    """Answers with the words of the last message, one event each."""
    if isinstance(request, Load):
        yield Done(reason="load")
    elif isinstance(request, Unload):
        yield Done(reason="unload")
    elif isinstance(request, Generate):
        said = request.messages[-1].content if request.messages else request.prompt or ""
        words = [word + " " for word in said.split()]
        for word in words:
            yield Text(text=word)
        yield Done(reason="stop", usage=Usage(prompt=len(words), completion=len(words)))


class FakeEngine:
    """A unix-socket server that answers each request by ``script``; no torch, no model.

    ``requests`` holds what arrived; ``closed`` counts connections that the client ended early.
    ``die`` drops every connection without a last event, as a killed engine would.
    """

    def __init__(self, address: Path | str, script: Script = echo) -> None:
        self.address = str(address)
        self.script = script
        self.models: tuple[LoadedModel, ...] = ()
        self.requests: list[Request] = []
        self.closed = 0
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> FakeEngine:
        Path(self.address).parent.mkdir(parents=True, exist_ok=True)
        Path(self.address).unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self.address)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.die()
        self._server.close()

    def die(self) -> None:
        """Drop all connections as SIGKILL would."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            request = await protocol.read_request(reader)
            gone = asyncio.create_task(reader.read())
            answer = asyncio.create_task(self._answer(request, writer))
            await asyncio.wait({gone, answer}, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done() or isinstance(answer.exception(), ConnectionError):
                self.closed += 1
            for task in (gone, answer):
                task.cancel()
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        if isinstance(request, protocol.Status):
            status = EngineStatus(pid=os.getpid(), steps=0, models=self.models)
            writer.write(protocol.frame(status) + protocol.frame(Done(reason="status")))
        else:
            self.requests.append(request)
            async for event in self.script(request):
                writer.write(protocol.frame(event))
                await writer.drain()
        await writer.drain()


def gated(words: list[str]) -> tuple[Script, Callable[[], Awaitable[None]]]:
    """A script that says one word for each call of the returned ``release``, then ends."""
    permits = asyncio.Semaphore(0)

    async def script(request: Request) -> AsyncIterator[Event]:
        for word in words:
            await permits.acquire()
            yield Text(text=word)
        await permits.acquire()
        yield Done(reason="stop", usage=Usage(prompt=3, completion=len(words)))

    async def release() -> None:
        permits.release()
        await asyncio.sleep(0)

    return script, release
