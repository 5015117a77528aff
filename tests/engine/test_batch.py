"""The batch's thread: what it does between steps."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from inference.engine.batch import Batch
from inference.engine.row import Row
from inference.engine.samples import Deliver
from inference.engine.scheduler import CHUNK
from inference.errors import Busy
from inference.protocol import Done, Event, Events, Piece, Queued, Reading, Text
from tests.engine.arithmetic import GREEDY, Arithmetic, scheduler_of


@dataclass
class Preparing(Arithmetic):
    """Has three things to make ready, which it does when nobody waits."""

    left: int = 3
    calls: list[bool] = field(default_factory=list)
    ready: threading.Event = field(default_factory=threading.Event)

    def prepare(self, *, idle: bool) -> bool:
        self.calls.append(idle)
        if idle:
            self.left -= 1
        if not self.left:
            self.ready.set()
        return idle and self.left > 0


def make_rows(deliver: Deliver) -> list[Row]:
    return [Row(prompt=[1, 2], options=GREEDY, limit=5, ends=frozenset(), decode=str, deliver=deliver)]


async def test_what_there_is_to_prepare_waits_until_nobody_waits() -> None:
    forward = Preparing(1)
    batch = Batch(scheduler_of(forward), places=1, max_queue=1)
    with batch.admitted() as place:
        events = [event async for event in batch.run(place, make_rows)]
    assert isinstance(events[-1], Done)
    assert await asyncio.to_thread(forward.ready.wait, 30.0)
    batch.close()
    assert forward.calls == [False] * 4 + [True] * 3, "after each of the steps; then until nothing is left"


async def test_what_there_is_to_prepare_needs_no_request() -> None:
    forward = Preparing(1)
    batch = Batch(scheduler_of(forward), places=1, max_queue=1)
    assert forward.calls == []
    batch.prepare()
    assert await asyncio.to_thread(forward.ready.wait, 30.0)
    batch.close()
    assert forward.calls == [True] * 3


@dataclass
class Failing(Arithmetic):
    """Can make nothing ready."""

    def prepare(self, *, idle: bool) -> bool:
        raise MemoryError


async def test_what_cannot_be_prepared_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    batch = Batch(scheduler_of(Failing(1)), places=1, max_queue=1)
    with batch.admitted() as place:
        events = [event async for event in batch.run(place, make_rows)]
    batch.close()
    assert isinstance(events[-1], Done)
    assert "answers go on without it" in caplog.text


@dataclass
class Held(Arithmetic):
    """Reads nothing before it may."""

    may: threading.Event = field(default_factory=threading.Event)

    def read(self, *args: Any, **kwargs: Any) -> list[int]:
        assert self.may.wait(30.0)
        return super().read(*args, **kwargs)


async def test_who_waits_in_line_hears_it_again_and_again() -> None:
    """Also that the line got shorter; who is in a slot of a thread that is stuck is not told anything."""
    forward = Held(1)
    batch = Batch(scheduler_of(forward), places=1, max_queue=2, repeat=0.01)
    with batch.admitted() as one, batch.admitted() as three:
        first = asyncio.ensure_future(anext(batch.run(one, make_rows)))
        with batch.admitted() as two:
            third = batch.run(three, make_rows)
            second = batch.run(two, make_rows)
            assert [await anext(third), await anext(third)] == [Queued(position=1)] * 2
            assert [await anext(second), await anext(second)] == [Queued(position=2)] * 2
        assert not first.done()
        forward.may.set()
        assert isinstance(await first, Reading)
        await second.aclose()
        events = [event async for event in third if not isinstance(event, Queued)]
        assert isinstance(events[-1], Done)
    batch.close()


@dataclass
class Gated(Arithmetic):
    """Reads a chunk or says a token whenever it is let."""

    gate: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def read(self, *args: Any, **kwargs: Any) -> list[int]:
        assert self.gate.acquire(timeout=30.0)
        return super().read(*args, **kwargs)

    def decode(self, *args: Any) -> list[int]:
        assert self.gate.acquire(timeout=30.0)
        return super().decode(*args)


class Holding:
    """A reader that holds back all that is said, as of a call that is not whole."""

    ended = False

    def push(self, text: str) -> list[Piece]:
        return []

    def finish(self) -> list[Piece]:
        return [Text(text="all of it")]


async def test_who_is_in_a_slot_hears_that_the_thread_is_not_stuck() -> None:
    """While others' prompts are read first, and while what it says is held back."""
    forward = Gated(2)
    batch = Batch(scheduler_of(forward), places=2, max_queue=2, repeat=0.05)

    def long_row(deliver: Deliver) -> list[Row]:
        prompt = list(range(CHUNK * 3))
        return [Row(prompt=prompt, options=GREEDY, limit=1, ends=frozenset(), decode=str, deliver=deliver)]

    def held_back(deliver: Deliver) -> list[Row]:
        (row,) = make_rows(deliver)
        return [replace(row, limit=3, reader=Holding())]

    with batch.admitted() as one, batch.admitted() as two:
        long, held = batch.run(one, long_row), batch.run(two, held_back)
        first, second = asyncio.ensure_future(anext(long)), asyncio.ensure_future(anext(held))
        await asyncio.sleep(0)
        forward.gate.release()
        assert isinstance(await first, Reading)
        assert await second == Queued(position=1), "its prompt is read after the long one"
        forward.gate.release(3)
        read = Reading(done=2, total=2)
        assert await following_after(held, Queued) == read
        forward.gate.release()
        assert await anext(held) == read, "a token came, which is no piece yet"
        forward.gate.release(9)
        events = [event async for event in held if event != read]
        assert events[0] == Text(text="all of it", tokens=3)
        await long.aclose()
    batch.close()


async def following_after(events: Events, kind: type[Event]) -> Event:
    """The next event that is of another kind."""
    async for event in events:
        if not isinstance(event, kind):
            return event
    raise AssertionError("nothing follows")


def test_a_request_of_many_rows_counts_as_many() -> None:
    batch = Batch(scheduler_of(Arithmetic(2)), places=2, max_queue=3)
    with batch.admitted(4) as first, batch.admitted() as second:
        assert (batch.position(first), batch.position(second)) == (-1, 3)
        with pytest.raises(Busy), batch.admitted():
            pass
    with batch.admitted() as third:
        assert batch.position(third) == -1
