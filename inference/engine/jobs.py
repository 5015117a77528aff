"""Long work of one model, one request after the other, in a thread of its own.

A job runs in the thread and tells what happens; its events come out on the event loop. Whoever waits
hears its place in the line, and while nothing happens the last event comes again every few seconds, so
that nobody takes a long step for an engine that is stuck. Knows nothing of what is done.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from inference.errors import Busy
from inference.protocol import Done, Event, Events, Queued

REPEAT_SECONDS = 5.0

Tell = Callable[[Event], None]
Job = Callable[[Tell], Done]


class Stopped(Exception):
    """Nobody waits for the job any more."""


class Jobs:
    """Runs jobs, at most ``max_queue`` waiting. Used on the event loop."""

    def __init__(self, *, max_queue: int) -> None:
        self._max_queue = max_queue
        self._line: list[_Place] = []
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="jobs")

    async def run(self, job: Job) -> Events:
        """The events of ``job``, what it returns as the last; what it raises is raised.

        ``Busy`` when as many wait as may. Closing the iterator makes the next event that the job tells
        its last, or takes it out of the line.
        """
        place = _Place()
        with self._admitted(place):
            if ahead := self._line.index(place):
                yield Queued(position=ahead)
            running = self._thread.submit(copy_context().run, place.work, job)
            try:
                async with contextlib.aclosing(self._told(place)) as events:
                    async for event in events:
                        yield event
            finally:
                place.stopped = True
                running.cancel()

    def close(self) -> None:
        """End the thread; blocks until it has ended."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    @contextlib.contextmanager
    def _admitted(self, place: _Place) -> Iterator[None]:
        if len(self._line) > self._max_queue:
            raise Busy
        self._line.append(place)
        try:
            yield
        finally:
            self._line.remove(place)

    async def _told(self, place: _Place) -> Events:
        """What the job tells, up to ``Done``; the last of it, or the place in line, again and again."""
        last: Event | None = None
        while not isinstance(last, Done):
            try:
                async with asyncio.timeout(REPEAT_SECONDS):
                    told = await place.mail.get()
                if isinstance(told, Exception):
                    raise told
                last = told
            except TimeoutError:
                # One that was stopped may still be at its last step.
                told = last or Queued(position=max(self._line.index(place), 1))
            yield told


class _Place:
    """A request's place in the line. Made on the event loop; it works and tells in the thread."""

    def __init__(self) -> None:
        self.stopped = False
        self.mail: asyncio.Queue[Event | Exception] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()

    def work(self, job: Job) -> None:
        """Do the job, and post what comes of it."""
        with contextlib.suppress(Stopped):
            try:
                self._tell(job(self._tell))
            except Stopped:
                raise
            except Exception as error:  # noqa: BLE001 - raised again on the event loop
                self._post(error)

    def _tell(self, event: Event) -> None:
        """Post ``event``; ``Stopped`` if nobody waits for it."""
        if self.stopped:
            raise Stopped
        self._post(event)

    def _post(self, news: Event | Exception) -> None:
        # The loop may be closed meanwhile; then nobody waits.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.mail.put_nowait, news)
