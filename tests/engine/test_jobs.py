"""Long work: one at a time, the others in line, bounded, and stopped when nobody waits."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator

import pytest

from inference.engine import jobs as jobs_module
from inference.engine.jobs import Jobs, Tell
from inference.errors import Busy, InvalidRequest
from inference.protocol import Done, Drawing, Event, Queued

DONE = Done(reason="stop")


class Work:
    """A job that waits where the test wants it."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.ended = threading.Event()

    def __call__(self, tell: Tell) -> Done:
        try:
            for step in range(1, 4):
                tell(Drawing(done=step, total=3))
                assert self.go.wait(30)
            return DONE
        finally:
            self.ended.set()


@pytest.fixture
async def jobs() -> AsyncIterator[Jobs]:
    jobs = Jobs(max_queue=1)
    yield jobs
    jobs.close()


async def collect(jobs: Jobs, work: Work) -> list[Event]:
    return [event async for event in jobs.run(work)]


async def test_one_runs_and_the_next_waits_its_turn(jobs: Jobs) -> None:
    first, second = Work(), Work()
    one = jobs.run(first)
    assert await anext(one) == Drawing(done=1, total=3)
    two = jobs.run(second)
    assert await anext(two) == Queued(position=1)
    third = jobs.run(Work())
    with pytest.raises(Busy):
        await anext(third)
    second.go.set()
    first.go.set()
    assert [event async for event in one][-1] == DONE
    assert [event async for event in two] == [*(Drawing(done=step, total=3) for step in (1, 2, 3)), DONE]


async def test_who_leaves_stops_the_job_and_its_place_is_free(jobs: Jobs) -> None:
    work, waiting = Work(), Work()
    running = jobs.run(work)
    await anext(running)
    queued = jobs.run(waiting)
    await anext(queued)
    await queued.aclose()
    await running.aclose()
    work.go.set()
    other = Work()
    other.go.set()
    assert (await collect(jobs, other))[-1] == DONE
    assert work.ended.is_set()
    assert not waiting.ended.is_set()


async def test_what_a_job_raises_is_raised(jobs: Jobs) -> None:
    def broken(tell: Tell) -> Done:
        raise InvalidRequest("No.")

    with pytest.raises(InvalidRequest, match=r"No\."):
        [event async for event in jobs.run(broken)]


async def test_nobody_hears_nothing_for_long(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "REPEAT_SECONDS", 0.01)
    work = Work()
    async with contextlib.aclosing(jobs.run(work)) as events:
        heard = [await anext(events) for _ in range(3)]
        assert heard == [Drawing(done=1, total=3)] * 3
        async with contextlib.aclosing(jobs.run(Work())) as others:
            async with asyncio.timeout(30):
                assert [await anext(others) for _ in range(3)] == [Queued(position=1)] * 3
    work.go.set()
