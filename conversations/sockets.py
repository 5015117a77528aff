"""The sockets that are open, by user: one who may no longer log in loses them at once.

Users are saved in threads, sockets live on the server's event loop: this is where the two meet.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine
from typing import Any

from django.contrib.auth.models import User

Close = Callable[[], Coroutine[Any, Any, None]]


class OpenSockets:
    """Who has which sockets open; ``close`` of each ends it."""

    def __init__(self) -> None:
        self._open: dict[int, dict[Close, asyncio.AbstractEventLoop]] = defaultdict(dict)

    def add(self, user: int, close: Close) -> None:
        """Note a socket, from the event loop that it lives on."""
        self._open[user][close] = asyncio.get_running_loop()

    def discard(self, user: int, close: Close) -> None:
        """The socket has been closed."""
        self._open[user].pop(close, None)
        if not self._open[user]:
            del self._open[user]

    def end(self, user: int) -> None:
        """Close every socket of ``user``, from any thread."""
        for close, loop in dict(self._open.get(user, {})).items():
            asyncio.run_coroutine_threadsafe(close(), loop)


SOCKETS = OpenSockets()


def user_saved(instance: User, **_: Any) -> None:
    """Somebody was saved: if they may no longer log in, they are not to be here either."""
    if not instance.is_active:
        SOCKETS.end(instance.pk)
