"""What the one who pulls is given: where to tell how far it is, and whether to go on at all."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

from msgspec.structs import replace

from inference.store.errors import PullStopped
from inference.store.progress import FileProgress, Progress, Step

TELL_SECONDS = 0.2
SPEED_SECONDS = 5.0
MOST_SAMPLES = 10_000


class Watch:
    """Tells ``show`` the progress, at most a few times a second; ``stop`` ends the pull.

    Every method raises ``PullStopped`` once ``stop`` is set, so a pull ends wherever it tells
    something. While it is entered, what was counted is told even if nothing more arrives, from a
    thread of its own; ``show`` is never called twice at once.
    """

    def __init__(self, show: Callable[[Progress], object], stop: threading.Event | None = None) -> None:
        self._show = show
        self._stop = stop or threading.Event()
        self._closed = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)
        self._lock = threading.Lock()
        self._progress = Progress()
        self._files: dict[str, FileProgress] = {}
        self._told = 0.0
        self._shown = False
        self._meter = Meter()

    def __enter__(self) -> Watch:
        self._ticker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._ticker.join()

    @property
    def left(self) -> int:
        """Bytes that are still to come."""
        return sum(file.size - file.done for file in self._files.values())

    def step(self, step: Step, note: str = "") -> None:
        """The pull does something else now."""
        self._tell(step=step, note=note)

    def note(self, note: str) -> None:
        """A sentence about what is done now."""
        self._tell(note=note)

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

    def _tell(self, **changed: str) -> None:
        self.check()
        with self._lock:
            self._told = time.monotonic()
            files = tuple(self._files.values())
            now = replace(self._progress, files=files, speed=self._meter.speed(), **changed)
            if now != self._progress or not self._shown:
                self._shown = True
                self._progress = now
                self._show(now)

    def _tick(self) -> None:
        while not self._closed.wait(TELL_SECONDS):
            with contextlib.suppress(PullStopped):
                self._tell()


class Meter:
    """Bytes per second over the last few seconds."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._added: deque[tuple[float, int]] = deque(maxlen=MOST_SAMPLES)

    def add(self, count: int) -> None:
        self._added.append((time.monotonic(), count))

    def speed(self) -> float:
        now = time.monotonic()
        recent = [(when, count) for when, count in tuple(self._added) if when >= now - SPEED_SECONDS]
        over = now - max(self._began, now - SPEED_SECONDS)
        if len(recent) == MOST_SAMPLES:
            over = now - recent[0][0]
        return sum(count for _, count in recent) / over if over > 0 else 0.0
