"""The batch of one model: the thread that steps the scheduler, and the way to it from the loop.

Rows come in over a queue; the events of a whole step go out in one call to the event loop. The
thread sleeps while there is nothing to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from inference.engine.row import Row
from inference.engine.samples import Deliver
from inference.engine.scheduler import Scheduler
from inference.errors import Busy, InferenceError
from inference.protocol import Done, Event, Events, Failed, Queued, Reading

logger = logging.getLogger(__name__)

Mailbox = asyncio.Queue[list[Event]]

# Who waits hears so often what for, so that nobody takes a busy engine for one that is stuck.
REPEAT_SECONDS = 5.0


class Call(Enum):
    """What the thread is told besides rows: to look whether there is something to prepare, or to end."""

    PREPARE = auto()
    END = auto()


@dataclass(eq=False)
class Place:
    """The place in line of a request with so many ``rows``."""

    rows: int


class Batch:
    """Runs rows through a scheduler in a thread of its own. Used on the event loop."""

    def __init__(
        self, scheduler: Scheduler[Any], *, places: int, max_queue: int, repeat: float = REPEAT_SECONDS
    ) -> None:
        self._scheduler = scheduler
        self._places = places
        self._max_queue = max_queue
        self._repeat = repeat
        self._line: list[Place] = []
        self._arrivals: queue.SimpleQueue[Row | Call] = queue.SimpleQueue()
        self._outbox: list[tuple[Mailbox, list[Event]]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._work, name="batch", daemon=True)
        self._thread.start()

    @property
    def steps(self) -> int:
        return self._scheduler.steps

    @contextlib.contextmanager
    def admitted(self, rows: int = 1) -> Iterator[Place]:
        """Count a request of so many ``rows`` in while the block runs: its place in line.

        ``Busy`` when as many wait as may.
        """
        if sum(place.rows for place in self._line) >= self._places + self._max_queue:
            raise Busy
        place = Place(rows)
        self._line.append(place)
        try:
            yield place
        finally:
            self._line.remove(place)

    def position(self, place: Place) -> int:
        """Which of those that wait ``place`` is, above 0 if it has to."""
        ahead = itertools.takewhile(lambda other: other is not place, self._line)
        return sum(other.rows for other in ahead) + 1 - self._places

    async def run(self, place: Place, make_rows: Callable[[Deliver], list[Row]]) -> Events:
        """The events of rows, made by ``make_rows`` with the function that takes them. While there is nothing
        to tell, it is told every few seconds what they wait for, as long as the thread makes steps.

        Closing the iterator takes the rows out of the batch with the next step.
        """
        mailbox: Mailbox = asyncio.Queue()
        rows = make_rows(lambda events: self._outbox.append((mailbox, events)) if events else None)
        self._loop = asyncio.get_running_loop()
        for row in rows:
            self._arrivals.put(row)
        try:
            async with contextlib.aclosing(self._opened(mailbox, place)) as events:
                async for event in events:
                    yield event
        finally:
            for row in rows:
                row.cancelled = True

    async def _opened(self, mailbox: Mailbox, place: Place) -> Events:
        """The events that arrive in ``mailbox``, up to the last; a failure is raised. While none does, again
        and again what ``place`` waits for."""
        reading: Reading | None = None
        steps = self.steps
        while True:
            try:
                async with asyncio.timeout(self._repeat):
                    arrived = await mailbox.get()
            except TimeoutError:
                position, stuck, steps = self.position(place), steps == self.steps, self.steps
                if position > 0 and not reading:
                    yield Queued(position=position)
                elif not stuck:
                    # In a slot, but others' prompts are read first, or what it says, a call, is held back.
                    yield reading or Queued(position=1)
                continue
            for event in arrived:
                if isinstance(event, Failed):
                    raise event.error()
                if isinstance(event, Reading):
                    reading = event
                yield event
                if isinstance(event, Done):
                    return

    def prepare(self) -> None:
        """Have the thread see what there is to make ready, though no request may come. From any thread."""
        self._arrivals.put(Call.PREPARE)

    def close(self) -> None:
        """End the thread; blocks until it has ended."""
        self._arrivals.put(Call.END)
        self._thread.join()

    def _work(self) -> None:
        """Take arrivals in, step, hand the events out; sleep where there is nothing to do."""
        while self._take_in():
            try:
                self._scheduler.step()
                self._hand_out()
                self._prepare()
            except Exception:
                logger.exception("A step failed in a way that nobody foresaw.")
                self._scheduler.fail_all(InferenceError())
                self._hand_out()

    def _prepare(self) -> None:
        """With the events out: make ready what there is, one thing a step, more while nobody comes."""
        try:
            while self._scheduler.prepare() and not self._scheduler.busy and self._arrivals.empty():
                pass
        except Exception:
            logger.exception("What would make later steps faster failed: answers go on without it.")

    def _take_in(self) -> bool:
        """Put arrivals in line, waiting for one if there is nothing else to do; False at the end."""
        wait = not self._scheduler.busy
        with contextlib.suppress(queue.Empty):
            while (arrived := self._arrivals.get(block=wait)) is not Call.END:
                if isinstance(arrived, Row):
                    self._scheduler.waiting.append(arrived)
                wait = False
            return False
        return True

    def _hand_out(self) -> None:
        if self._outbox and self._loop and not self._loop.is_closed():
            outbox, self._outbox = self._outbox, []
            self._loop.call_soon_threadsafe(_deliver, outbox)


def _deliver(outbox: list[tuple[Mailbox, list[Event]]]) -> None:
    for mailbox, events in outbox:
        mailbox.put_nowait(events)
