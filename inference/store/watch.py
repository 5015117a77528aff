"""What the one who pulls is given: where to tell how far it is, and whether to go on at all."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

from msgspec.structs import replace

from inference.store.errors import PullStopped
from inference.store.progress import FileProgress, Progress, Step

TELL_SECONDS = 0.2
SPEED_SECONDS = 5.0


class Watch:
    """Tells ``show`` the progress, at most a few times a second; ``stop`` ends the pull.

    Every method raises ``PullStopped`` once ``stop`` is set, so a pull ends wherever it tells
    something. Used by one thread; ``show`` is called in it.
    """

    def __init__(self, show: Callable[[Progress], object], stop: threading.Event | None = None) -> None:
        self._show = show
        self._stop = stop or threading.Event()
        self._progress = Progress()
        self._files: dict[str, FileProgress] = {}
        self._told = 0.0
        self._meter = Meter()

    @property
    def left(self) -> int:
        """Bytes that are still to come."""
        return sum(file.size - file.done for file in self._files.values())

    def step(self, step: Step, note: str = "") -> None:
        """The pull does something else now."""
        self._progress = replace(self._progress, step=step, note=note)
        self._tell()

    def note(self, note: str) -> None:
        """A sentence about what is done now."""
        self._progress = replace(self._progress, note=note)
        self._tell()

    def plan(self, files: Iterable[FileProgress]) -> None:
        """All files that there are to be."""
        self._files = {file.name: file for file in files}
        self._tell()

    def count(self, name: str, done: int) -> None:
        """So much of a file is here."""
        file = self._files[name]
        self._meter.add(max(0, done - file.done))
        self._files[name] = replace(file, done=done)
        if done == file.size or time.monotonic() - self._told >= TELL_SECONDS:
            self._tell()
        else:
            self.check()

    def wait(self, seconds: float) -> None:
        """Do nothing for a while."""
        self._stop.wait(seconds)
        self.check()

    def check(self) -> None:
        """``PullStopped`` when nobody wants the model any more."""
        if self._stop.is_set():
            raise PullStopped

    def _tell(self) -> None:
        self.check()
        self._told = time.monotonic()
        files = tuple(self._files.values())
        self._progress = replace(self._progress, files=files, speed=self._meter.speed())
        self._show(self._progress)


class Meter:
    """Bytes per second over the last few seconds."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._added: deque[tuple[float, int]] = deque()

    def add(self, count: int) -> None:
        self._added.append((time.monotonic(), count))

    def speed(self) -> float:
        now = time.monotonic()
        while self._added and self._added[0][0] < now - SPEED_SECONDS:
            self._added.popleft()
        over = min(SPEED_SECONDS, now - self._began)
        return sum(count for _, count in self._added) / over if over > 0 else 0.0
