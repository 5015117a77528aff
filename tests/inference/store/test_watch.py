from __future__ import annotations

import threading

import pytest

from inference.store.errors import PullStopped
from inference.store.progress import FileProgress, Progress
from inference.store.watch import Watch
from tests.serving import eventually


def test_what_is_told_is_what_was_counted() -> None:
    told: list[Progress] = []
    watch = Watch(told.append)
    watch.step("fetching")
    watch.plan([FileProgress("a", 10), FileProgress("b", 30, 5)])
    assert watch.left == 35
    watch.count("a", 10)
    watch.note("slow")
    last = told[-1]
    assert (last.step, last.note, last.done, last.total) == ("fetching", "slow", 15, 40)
    assert last.speed > 0
    assert last.seconds_left == pytest.approx(25 / last.speed)
    assert Progress().seconds_left is None


def test_what_was_counted_is_told_even_if_nothing_more_arrives() -> None:
    told: list[Progress] = []
    with Watch(told.append) as watch:
        watch.plan([FileProgress("a", 1000)])
        for done in range(1, 500):
            watch.count("a", done)
        assert len(told) < 400, "not each count is told"
        eventually(lambda: told[-1].done == 499, lambda: str(told[-1]))


def test_the_same_is_not_told_twice() -> None:
    told: list[Progress] = []
    watch = Watch(told.append)
    for _ in range(3):
        watch.step("asking")
    assert told == [Progress()]


@pytest.mark.parametrize("act", ["step", "note", "plan", "count", "wait", "check"])
def test_a_pull_that_nobody_wants_ends_wherever_it_tells_something(act: str) -> None:
    stop = threading.Event()
    watch = Watch(lambda state: None, stop)
    watch.plan([FileProgress("a", 10)])
    stop.set()
    calls = {
        "step": lambda: watch.step("checking"),
        "note": lambda: watch.note("x"),
        "plan": lambda: watch.plan([]),
        "count": lambda: watch.count("a", 1),
        "wait": lambda: watch.wait(60),
        "check": watch.check,
    }
    with pytest.raises(PullStopped):
        calls[act]()
