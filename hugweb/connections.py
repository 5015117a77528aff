"""How many connections clients may hold, and which gives way where one too many comes.

Each takes a descriptor of the process, of which the system gives only so many, and an answer takes
another one for the engine; who opens connections and asks for nothing must not take all of them from the
others. Knows nothing of what is said over a connection.
"""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from typing import Protocol

# Descriptors that are not for clients: of the database, files, pulls, the engine.
KEPT = 200
# macOS says that there is no limit, and takes no more than this.
MACOS_MOST = 10_240


class Connection(Protocol):
    """One of a client."""

    def give_way(self) -> None:
        """End: another one has come."""

    def check_timeouts(self) -> None:
        """End, if no request has come for too long."""


class Connections:
    """Those that are open, at most ``most``, and of these the ones that wait for a request."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        self._waiting: dict[Connection, None] = {}

    def enter(self, connection: Connection) -> bool:
        """Take in a new one, in the place of the one that has waited for longest if there is no room.

        False where there is none that waits.
        """
        self._count += 1
        if self._count > self._most:
            oldest = next(iter(self._waiting), None)
            if oldest is None:
                return False
            del self._waiting[oldest]
            oldest.give_way()
        self._waiting[connection] = None
        return True

    def asks(self, connection: Connection) -> None:
        """A request has come."""
        self._waiting.pop(connection, None)

    def waits(self, connection: Connection) -> None:
        """The request has been answered; another one may come."""
        self._waiting[connection] = None

    def leave(self, connection: Connection) -> None:
        """It is gone."""
        self._count -= 1
        self._waiting.pop(connection, None)

    def waiting(self) -> Iterator[Connection]:
        """Those that wait for a request, the one that does for longest first."""
        return iter(tuple(self._waiting))


def most_connections(wanted: int) -> int:
    """``wanted``, or as many as the system has descriptors for, of which it is asked for enough."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = KEPT + 2 * wanted
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    if hard != resource.RLIM_INFINITY:
        needed = min(needed, hard)
    for most in (needed, min(needed, MACOS_MOST)):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
            break
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, (soft - KEPT) // 2)
