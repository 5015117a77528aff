"""Whether a client takes what is sent to it, so that nobody writes faster than it reads.

What a connection's transport calls a push producer: it is told when more waits to be sent than should,
and when all of that is gone. Whoever writes waits in between (``ready``); whoever watches over the
connection learns for how long not a byte was taken (``stalled``). Knows nothing of what is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import struct
import termios
import time
from typing import Any


class Flow:
    """What goes out over ``transport``, one of Twisted's."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._open = asyncio.Event()
        self._open.set()
        self._left = 0
        self._since = 0.0

    async def ready(self) -> None:
        """Returns when the client has room for more, or is gone."""
        await self._open.wait()

    def stalled(self) -> float:
        """Seconds for which the client has taken nothing of what waits for it."""
        if self._open.is_set():
            return 0.0
        left, now = self._waiting(), time.monotonic()
        if left < self._left:
            self._since = now
        self._left = left
        return now - self._since

    def pauseProducing(self) -> None:
        """More waits than should."""
        if self._open.is_set():
            self._open.clear()
            self._since = time.monotonic()
        self._left = self._waiting()

    def resumeProducing(self) -> None:
        """All of it is sent."""
        self._open.set()

    def stopProducing(self) -> None:
        """The connection is gone, or the answer complete."""
        self._open.set()

    def _waiting(self) -> int:
        """Bytes that wait, here and in the system: it sends what it has while we have to keep ours."""
        transport = self._transport
        here: int = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
        return here + _unsent(transport.fileno())


def _unsent(socket: int) -> int:
    """Bytes that the system keeps of a socket until they are received; 0 where it does not tell."""
    with contextlib.suppress(OSError, ValueError):
        return int(struct.unpack("i", fcntl.ioctl(socket, termios.TIOCOUTQ, b"\0" * 4))[0])
    return 0
