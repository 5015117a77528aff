"""Stopping without cutting anybody off: what is in flight, and whether new work is taken.

Counts HTTP requests from their first byte to their last, and asks other kinds of work (the turns of
the chat) how much of it runs. Who decides when to drain, and for how long, is ``hugweb.server``.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from hugweb.api.shape import dialect_of, error_frame, error_response, respond
from hugweb.asgi_types import Application, Message, Receive, Scope, Send
from inference.errors import Draining, InferenceError

POLL_SECONDS = 0.02


class Work(Protocol):
    """Work that no HTTP request waits for. Takes nothing new once ``draining`` is true."""

    draining: bool

    def running(self) -> int: ...

    async def close(self) -> None: ...


class Drain:
    """The requests in flight, and the end of taking new ones."""

    def __init__(self) -> None:
        self.draining = False
        self._calls: set[Call] = set()
        self._work: list[Work] = []

    def watch(self, work: Work) -> None:
        """Count ``work`` too."""
        self._work.append(work)

    def wrap(self, app: Application) -> Application:
        """``app``, counted, and without its API while draining."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
            elif self.draining and dialect_of(scope["path"]):
                await respond(send, error_response(scope["path"], Draining()))
            else:
                await self._count(app, scope, receive, send)

        return counted

    async def _count(self, app: Application, scope: Scope, receive: Receive, send: Send) -> None:
        call = Call(scope["path"], send)
        self._calls.add(call)
        try:
            await app(scope, receive, call.send)
        finally:
            self._calls.discard(call)

    def begin(self) -> None:
        """Take nothing new from now on."""
        self.draining = True
        for work in self._work:
            work.draining = True

    async def idle(self) -> None:
        """Returns when nothing is in flight."""
        while self._calls or any(work.running() for work in self._work):  # noqa: ASYNC110 (work is only asked)
            await asyncio.sleep(POLL_SECONDS)

    async def cut(self) -> None:
        """End what is still in flight, each with an error that its client can read."""
        # All at once: nobody waits for a client that does not read.
        calls = [call.fail(Draining()) for call in tuple(self._calls)]
        await asyncio.gather(*calls, *(work.close() for work in self._work))


class Call:
    """One request in flight: enough of its answer to end it in its own shape."""

    def __init__(self, path: str, send: Send) -> None:
        self._path = path
        self._send = send
        self._started = False
        self._ended = False

    async def send(self, message: Message) -> None:
        if self._ended:
            return
        self._started = True
        self._ended = message["type"] == "http.response.body" and not message.get("more_body")
        await self._send(message)

    async def fail(self, error: InferenceError) -> None:
        """End the answer with ``error``. The server then tells the view that its client is gone.

        A page or file that has begun has no shape for errors: it is left to break off.
        """
        if not self._started:
            await respond(self.send, error_response(self._path, error))
        elif dialect_of(self._path):
            frame = error_frame(self._path, error)
            await self.send({"type": "http.response.body", "body": frame})


DRAIN = Drain()
