"""Pulls that the server asks for itself: they go on without a page, and end when they are cancelled."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hugweb import jobs as jobs_module
from hugweb.jobs import MOST_ENDINGS, PullJobs
from inference.errors import InvalidRequest
from inference.store.progress import Progress, Pulled, PullFailed
from inference.store.pull import PullOrder
from inference.store.pulls import Pulls
from tests.inference.store.test_pulls import SIZE, Work, all_of, order


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
async def pulls(settings: Any, tmp_path: Path) -> Any:
    settings.HOME = tmp_path
    pulls = Pulls(linger=0.0)
    yield pulls
    await pulls.close()


@pytest.fixture
def jobs(pulls: Pulls) -> PullJobs:
    return PullJobs(pulls)


async def until_over(jobs: PullJobs) -> Any:
    async with asyncio.timeout(30):
        while any(shown.progress for shown in await jobs.shown()):
            await asyncio.sleep(0.01)
    return await jobs.shown()


async def test_a_pull_goes_on_when_nobody_looks_and_says_how_it_ended(jobs: PullJobs, work: Work) -> None:
    assert isinstance(await jobs.begin(order(work)), Progress)
    (shown,) = await jobs.shown()
    assert (shown.key, shown.ours, shown.progress is not None) == ("org/a", True, True)
    work.allow(SIZE)
    (shown,) = await until_over(jobs)
    assert isinstance(shown.state, Pulled)
    await jobs.forget("org/a")
    assert await jobs.shown() == []


async def test_who_begins_it_again_joins_in(jobs: PullJobs, work: Work) -> None:
    await jobs.begin(order(work))
    await jobs.begin(order(work))
    work.allow(SIZE)
    await until_over(jobs)
    assert work.runs == 1


async def test_a_cancelled_pull_ends_if_nobody_else_asks(jobs: PullJobs, work: Work) -> None:
    await jobs.begin(order(work))
    async with asyncio.timeout(30):
        while not work.runs:
            await asyncio.sleep(0.01)
    assert await jobs.cancel("org/a")
    assert not await jobs.cancel("org/a")
    assert await until_over(jobs) == []
    await asyncio.to_thread(work.ended.wait, 30)
    assert work.ended.is_set()


async def test_a_cancel_leaves_the_interest_of_others_alone(jobs: PullJobs, pulls: Pulls, work: Work) -> None:
    other = asyncio.create_task(all_of(pulls.follow(order(work))))
    await jobs.begin(order(work))
    await jobs.cancel("org/a")
    (shown,) = await jobs.shown()
    assert not shown.ours
    work.allow(SIZE)
    assert isinstance((await other)[-1], Pulled)
    assert work.runs == 1


async def test_what_fails_says_why_until_it_is_begun_again(
    jobs: PullJobs, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "ANSWER_SECONDS", 30.0)
    work.error = InvalidRequest("The disk is full of stars.")
    work.allow(SIZE)
    state = await jobs.begin(order(work))
    assert isinstance(state, PullFailed)
    (shown,) = await jobs.shown()
    assert (shown.failed, shown.state) == (True, state)
    work.error = None
    work.allow(SIZE)
    await jobs.begin(order(work))
    (shown,) = await until_over(jobs)
    assert not shown.failed


async def test_only_the_latest_endings_are_kept(jobs: PullJobs, work: Work) -> None:
    work.error = InvalidRequest("no")
    for number in range(MOST_ENDINGS + 2):
        work.allow(SIZE)
        await jobs.begin(PullOrder(f"org/{number}", work))
        await until_over(jobs)
    names = [shown.key for shown in await jobs.shown()]
    assert names == [f"org/{number}" for number in range(2, MOST_ENDINGS + 2)]
