"""The engine's socket: one connection, one request.

Reads the request, writes the core's events, and cancels when the other side goes away. Exactly
one terminal frame, ``Done`` or ``Failed``, ends every answer that is not cancelled. Knows nothing
of models.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import stat
from pathlib import Path

from inference.engine.core import Engine
from inference.errors import InferenceError
from inference.protocol import Event, Failed, Request, frame, read_opening
from inference.request_id import identified

logger = logging.getLogger(__name__)

REQUEST_SECONDS = 30.0
BACKLOG = 512


class EngineServer:
    """Serves ``engine`` at ``address``, a socket that only its owner can open.

    Whoever takes nothing of its answer for ``write_seconds`` has gone away.
    """

    def __init__(self, engine: Engine, address: str, write_seconds: float = 90.0) -> None:
        self._engine = engine
        self._write_seconds = write_seconds
        self._address = Path(address)
        self._answers: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> EngineServer:
        folder = self._address.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A folder that all share, such as /tmp, is not ours to close; the socket's own mode keeps others out.
        if not folder.stat().st_mode & stat.S_ISVTX:
            folder.chmod(0o700)
        self._address.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._address, backlog=BACKLOG)
        self._address.chmod(0o600)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for answer in tuple(self._answers):
            answer.cancel()
        await asyncio.gather(*self._answers, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.ExitStack() as known:
            try:
                async with asyncio.timeout(REQUEST_SECONDS):
                    id, request = await read_opening(reader)
                known.enter_context(identified(id))
                await self._answer_or_cancel(request, reader, writer)
            except InferenceError as error:
                with contextlib.suppress(ConnectionError, TimeoutError):
                    await self._send(writer, Failed.of(error))
            except (ConnectionError, TimeoutError):
                logger.debug("A client went away.")
                # Closing would wait for it to take what was written.
                writer.transport.abort()
            finally:
                writer.close()

    async def _answer_or_cancel(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        answer = asyncio.create_task(self._answer(request, writer))
        gone = asyncio.create_task(reader.read(1))
        self._answers.add(answer)
        try:
            await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._answers.discard(answer)
            answer.cancel()
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
        with contextlib.suppress(asyncio.CancelledError):
            await answer

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        try:
            async with contextlib.aclosing(self._engine.submit(request)) as events:
                async for event in events:
                    await self._send(writer, event)
        except (InferenceError, ConnectionError, TimeoutError):
            raise
        except Exception as error:
            logger.exception("A request failed in a way that nobody foresaw.")
            raise InferenceError from error

    async def _send(self, writer: asyncio.StreamWriter, event: Event) -> None:
        writer.write(frame(event))
        # Not wait_for: in Python 3.11 it can swallow a cancel that comes as the wait ends.
        async with asyncio.timeout(self._write_seconds):
            await writer.drain()
