"""The engine's client: one request over the engine's socket, its events as they come.

Every stream ends in one of three ways: with ``Done``, with an error raised, or by being closed,
which closes the connection and so cancels the request. Holds nothing between two requests, so it
can be used from any event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from inference.errors import EngineDied, EngineDown, TimedOut
from inference.protocol import (
    Done,
    EngineStatus,
    Event,
    Events,
    Failed,
    Request,
    Status,
    Ticket,
    frame,
    read_event,
)
from inference.request_id import request_id

RECONNECT_SECONDS = 0.05


@dataclass(frozen=True)
class EngineClient:
    """Talks to the engine at ``address``, the path of a unix socket.

    ``patience``: seconds to wait for an engine that is not listening, since one that died is back
    within moments. ``silence``: longest time without an event before the engine counts as stuck.
    """

    address: str
    patience: float = 10.0
    silence: float = 300.0

    async def stream(self, request: Request) -> Events:
        """The events of ``request`` up to and with ``Done``; a failure is raised.

        An engine that is dying may still take a connection. One that ends without any event is tried
        once more, with the engine that comes next.
        """
        begun = False
        try:
            async with contextlib.aclosing(self._attempt(request)) as events:
                async for event in events:
                    begun = True
                    yield event
        except EngineDied:
            if begun:
                raise
            async with contextlib.aclosing(self._attempt(request)) as events:
                async for event in events:
                    yield event

    async def _attempt(self, request: Request) -> Events:
        """One connection and its events."""
        reader, writer = await self._connect()
        try:
            await self._send(writer, request)
            while True:
                event = await self._next(reader)
                if isinstance(event, Failed):
                    raise event.error()
                yield event
                if isinstance(event, Done):
                    return
        finally:
            # Not closed, which waits for the engine to take all of a request that nobody asks any more.
            writer.transport.abort()

    async def status(self) -> EngineStatus:
        """What the engine holds at this moment."""
        async with contextlib.aclosing(self.stream(Status())) as events:
            async for event in events:
                if isinstance(event, EngineStatus):
                    return event
        raise EngineDied

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        deadline = asyncio.get_running_loop().time() + self.patience
        while True:
            try:
                return await _open(self.address)
            except OSError as error:
                if asyncio.get_running_loop().time() >= deadline:
                    raise EngineDown from error
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _send(self, writer: asyncio.StreamWriter, request: Request) -> None:
        try:
            if id := request_id():
                writer.write(frame(Ticket(id=id)))
            writer.write(frame(request))
            async with self._patient():
                await writer.drain()
        except ConnectionError as error:
            raise EngineDied from error

    async def _next(self, reader: asyncio.StreamReader) -> Event:
        async with self._patient():
            return await read_event(reader)

    @contextlib.asynccontextmanager
    async def _patient(self) -> AsyncIterator[None]:
        """``TimedOut`` where the engine neither takes nor says anything in the block for too long."""
        try:
            # Not wait_for: in Python 3.11 it can swallow a cancel that comes as the wait ends.
            async with asyncio.timeout(self.silence):
                yield
        except TimeoutError as error:
            raise TimedOut(
                f"The engine was silent for {self.silence:.0f} seconds. Try again, or restart the server."
            ) from error


async def _open(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection, or ``OSError``, also where too many others are waiting to be let in.

    asyncio takes EAGAIN of a unix socket for a connection that is on its way; it is one that was
    turned away because the queue of the listener is full.
    """
    reader, writer = await asyncio.open_unix_connection(address)
    try:
        writer.get_extra_info("socket").getpeername()
    except OSError:
        writer.close()
        raise
    return reader, writer
