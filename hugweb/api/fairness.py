"""Places that are given fairly, so that whoever wants many of them keeps nobody else waiting for long.

Knows nothing of what is done in a place; who somebody is is any name.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, eq=False)
class _Waiting:
    """Somebody in line, who is told when there is a place."""

    who: str
    called: threading.Event = field(default_factory=threading.Event)


class FairPlaces:
    """So many places, for any thread. One that is left goes to whoever waits and has the fewest of them, the
    first of these that came: beside somebody who wants many, another waits for one of theirs at most.
    """

    def __init__(self, most: int) -> None:
        self._free = most
        self._taken: Counter[str] = Counter()
        self._line: list[_Waiting] = []
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def place(self, who: str) -> Iterator[None]:
        """A place of ``who`` for what is done inside. Blocks until there is one."""
        self._take(who)
        try:
            yield
        finally:
            self._leave(who)

    def line(self) -> list[str]:
        """Who waits, in the order in which they came."""
        with self._lock:
            return [waiting.who for waiting in self._line]

    def _take(self, who: str) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                self._taken[who] += 1
                return
            waiting = _Waiting(who)
            self._line.append(waiting)
        waiting.called.wait()

    def _leave(self, who: str) -> None:
        with self._lock:
            self._taken -= Counter((who,))
            if not self._line:
                self._free += 1
                return
            following = min(self._line, key=lambda waiting: self._taken[waiting.who])
            self._line.remove(following)
            self._taken[following.who] += 1
        following.called.set()
