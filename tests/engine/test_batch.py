"""The batch's thread: what it does between steps."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from typing import Any

import pytest

from inference.engine.batch import Batch
from inference.engine.row import Row
from inference.engine.samples import Deliver
from inference.errors import Busy
from inference.protocol import Done, Queued, Reading
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
class Held(Arithmetic):
    """Reads nothing before it may."""

    may: threading.Event = field(default_factory=threading.Event)

    def read(self, *args: Any, **kwargs: Any) -> list[int]:
        assert self.may.wait(30.0)
        return super().read(*args, **kwargs)


async def test_who_waits_in_line_hears_it_again_and_again() -> None:
    """Also that the line got shorter; who is in a slot is not told anything."""
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


def test_a_request_of_many_rows_counts_as_many() -> None:
    batch = Batch(scheduler_of(Arithmetic(2)), places=2, max_queue=3)
    with batch.admitted(4) as first, batch.admitted() as second:
        assert (batch.position(first), batch.position(second)) == (-1, 3)
        with pytest.raises(Busy), batch.admitted():
            pass
    with batch.admitted() as third:
        assert batch.position(third) == -1
