"""The server's pulls: one thread for each model, however many ask, and nobody forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inference.errors import Busy, Draining
from inference.models import ModelRecord
from inference.store.architectures import TEXT
from inference.store.errors import DiskFull
from inference.store.progress import FileProgress, Progress, Pulled, PullFailed, PullState
from inference.store.pull import PullOrder
from inference.store.pulls import Job, Pulls
from inference.store.services import Taken
from inference.store.watch import Watch

SIZE = 10


class Work:
    """A pull that goes as far as it is let; ``runs`` counts how often it was begun."""

    def __init__(self) -> None:
        self.runs = 0
        self.ended = threading.Event()
        self.allowed = threading.Semaphore(0)
        self.error: Exception | None = None

    def __call__(self, watch: Watch) -> Taken:
        self.runs += 1
        self.ended.clear()
        try:
            watch.step("fetching")
            watch.plan([FileProgress("a", SIZE)])
            for done in range(1, SIZE + 1):
                while not self.allowed.acquire(timeout=0.01):
                    watch.check()
                watch.count("a", done)
            if self.error:
                raise self.error
            return Taken(ModelRecord(name="org/a"), TEXT, ())
        finally:
            self.ended.set()

    def allow(self, count: int) -> None:
        self.allowed.release(count)


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
async def pulls(settings, tmp_path: Path) -> AsyncIterator[Pulls]:
    settings.HOME = tmp_path
    pulls = Pulls(linger=0.0)
    yield pulls
    await pulls.close()


def order(work: Work, key: str = "org/a") -> PullOrder:
    return PullOrder(key, work)


async def until(states, done: int) -> None:
    async for state in states:
        if isinstance(state, Progress) and state.done >= done:
            return


async def all_of(states) -> list[PullState]:
    return [state async for state in states]


async def ended(work: Work) -> None:
    assert await asyncio.to_thread(work.ended.wait, 30)


async def test_whoever_asks_joins_in_and_all_see_the_end(pulls: Pulls, work: Work) -> None:
    first = pulls.follow(order(work))
    work.allow(4)
    await until(first, 4)
    second = asyncio.create_task(all_of(pulls.follow(order(work))))
    third = pulls.follow(order(work))
    await until(third, 4)
    await third.aclose()
    await first.aclose()
    work.allow(SIZE)
    states = await second
    assert isinstance(states[0], Progress)
    assert states[0].done == 4, "it begins with how far the pull is"
    assert states[-1] == Pulled("org/a", "text generation", True, ())
    assert work.runs == 1


async def test_only_so_many_models_are_pulled_at_a_time(
    pulls: Pulls, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.store.pulls.MOST", 2)
    followed = [pulls.follow(order(work, f"org/{name}")) for name in "ab"]
    for each in followed:
        await anext(each)
    with pytest.raises(Busy, match="2 models"):
        await anext(pulls.follow(order(work, "org/c")))
    assert await anext(pulls.follow(order(work, "org/b")))
    work.allow(2 * SIZE)
    for each in followed:
        await all_of(each)
    assert await anext(pulls.follow(order(work, "org/c")))


async def test_when_the_last_one_leaves_the_pull_stops(pulls: Pulls, work: Work) -> None:
    one, two = pulls.follow(order(work)), pulls.follow(order(work))
    work.allow(1)
    await until(one, 1)
    await until(two, 1)
    await one.aclose()
    assert list(pulls.current()) == ["org/a"]
    await two.aclose()
    await ended(work)
    assert pulls.current() == {}
    work.allow(SIZE)
    assert isinstance((await all_of(pulls.follow(order(work))))[-1], Pulled)
    assert work.runs == 2


async def test_a_page_may_be_loaded_again(pulls: Pulls, work: Work) -> None:
    pulls._linger = 60.0
    page = pulls.follow(order(work))
    work.allow(3)
    await until(page, 3)
    await page.aclose()
    (state,) = pulls.current().values()
    assert isinstance(state, Progress)
    assert state.done == 3
    work.allow(SIZE)
    await all_of(pulls.follow(order(work)))
    assert work.runs == 1


async def test_different_models_are_pulled_side_by_side(pulls: Pulls, work: Work) -> None:
    other = Work()
    one, two = pulls.follow(order(work)), pulls.follow(order(other, "org/b"))
    work.allow(1)
    other.allow(1)
    await until(one, 1)
    await until(two, 1)
    assert sorted(pulls.current()) == ["org/a", "org/b"]
    with contextlib.suppress(StopAsyncIteration):
        await one.aclose()
        await two.aclose()


async def test_an_error_is_everybodys_and_the_next_one_tries_again(pulls: Pulls, work: Work) -> None:
    work.error = DiskFull("Make room.")
    both_ask = asyncio.gather(*[all_of(pulls.follow(order(work))) for _ in range(2)])
    # Both have asked before the pull can end.
    await asyncio.sleep(0)
    work.allow(2 * SIZE)
    both = await both_ask
    assert [states[-1] for states in both] == [PullFailed("disk_full", "Make room.")] * 2
    assert work.runs == 1
    work.error = None
    assert isinstance((await all_of(pulls.follow(order(work))))[-1], Pulled)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_fault_of_ours_leaves_nobody_waiting(pulls: Pulls, work: Work) -> None:
    work.error = ZeroDivisionError("secret")
    work.allow(SIZE)
    last = (await all_of(pulls.follow(order(work))))[-1]
    assert isinstance(last, PullFailed)
    assert (last.code, "secret" in last.message) == ("internal", False)


async def test_a_home_that_cannot_be_written_is_told(pulls: Pulls, work: Work, tmp_path: Path) -> None:
    (tmp_path / "pulls").write_text("a file where there should be a folder")
    last = (await all_of(pulls.follow(order(work))))[-1]
    assert isinstance(last, PullFailed)
    assert last.code == "store_error"
    assert work.runs == 0


async def test_a_server_that_stops_ends_its_pulls(pulls: Pulls, work: Work) -> None:
    states = pulls.follow(order(work))
    work.allow(1)
    await until(states, 1)
    pulls.draining = True
    with pytest.raises(Draining):
        await anext(pulls.follow(order(work)))
    await pulls.close()
    await ended(work)
    assert pulls.running() == 0


async def test_what_is_pulled_can_be_told_while_others_begin(
    pulls: Pulls, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our own API asks in a thread, and the event loop goes on meanwhile: here at each look at a pull."""
    following = pulls.follow(order(work))
    await anext(following)
    looked_at = Job.over.fget
    assert looked_at

    def over(job: Job) -> bool:
        number = len(pulls._jobs)
        if number < 5:
            pulls._jobs[f"org/{number}"] = job
        return looked_at(job)

    monkeypatch.setattr(Job, "over", property(over))
    assert "org/a" in pulls.current()
    monkeypatch.undo()
    await following.aclose()
