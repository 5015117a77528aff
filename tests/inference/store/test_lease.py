from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.store.lease import Lease, Words, leases_sweep
from inference.store.progress import FileProgress, Progress, Pulled, PullEnding, PullFailed


@contextlib.contextmanager
def leases(folder: Path, *keys: str) -> Iterator[list[Lease]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(contextlib.closing(Lease(folder, key))) for key in keys]


def test_one_holds_it_at_a_time(tmp_path: Path) -> None:
    with leases(tmp_path, "org/a", "ORG/A", "org/b") as (one, two, other):
        with one.held() as first, two.held() as second, other.held() as third:
            assert (first, second, third) == (True, False, True)
        with two.held() as second:
            assert second


@given(first=st.text(max_size=20), second=st.text(max_size=20))
def test_what_is_not_the_same_has_another_lease(first: str, second: str, tmp_path_factory) -> None:
    folder = tmp_path_factory.mktemp("leases", numbered=True)
    with (
        leases(folder, f"a/{first}", f"a/{second}") as (one, two),
        one.held(),
        two.held() as held,
    ):
        assert held == (first.lower() != second.lower())
        assert {path.parent for path in folder.rglob("*")} == {folder}


@pytest.mark.parametrize(
    "ending", [Pulled("org/a", "text generation", True, ("b.bin",)), PullFailed("disk_full", "Make room.")]
)
def test_what_the_holder_says_is_heard(tmp_path: Path, ending: PullEnding) -> None:
    progress = Progress("fetching", (FileProgress("a", 10, 5, "0" * 64),), 1.5, "so")
    with leases(tmp_path, "org/a", "org/a", "org/a", "org/b") as (holder, *others, stranger):
        with holder.held():
            holder.say(progress)
            for other in others:
                with other.held() as held:
                    assert not held
                assert other.heard() == Words(progress)
            holder.say(ending)
        for other in others:
            with other.held() as held:
                assert not held
            assert other.heard() == Words(progress, ending)
        assert stranger.heard() is None


def test_nothing_is_left_of_a_pull_that_has_ended(tmp_path: Path) -> None:
    with leases(tmp_path, "org/a", "org/a") as (holder, other):
        with holder.held(), other.held():
            holder.say(Progress())
            assert len(list(tmp_path.iterdir())) == 2
            holder.say(Pulled("org/a", "text generation", True, ()))
        assert list(tmp_path.iterdir()) == []
    with leases(tmp_path, "org/a") as (late,), late.held() as held:
        assert (held, late.heard()) == (True, None), "what has ended is nobody's any more"


def test_whoever_waits_for_one_that_gives_up_comes_next(tmp_path: Path) -> None:
    with leases(tmp_path, "org/a", "org/a", "org/a") as (holder, next_one, last):
        with holder.held(), next_one.held() as second, last.held() as third:
            holder.say(Progress())
            assert (second, third) == (False, False)
        with next_one.held() as second, last.held() as third:
            assert (second, third) == (True, False)


def test_what_one_that_died_said_last_is_not_how_the_next_one_ends(tmp_path: Path) -> None:
    """It died between its last word and the deletion of the file."""
    failed = PullFailed("disk_full", "Make room.")
    with leases(tmp_path, "org/a", "org/a", "org/a") as (dead, other, third):
        held = dead.held()
        held.__enter__()
        dead.say(failed)
        dead.close()
        with other.held() as second:
            assert second
            other.say(Progress())
            with third.held():
                pass
            other.say(Pulled("org/a", "text generation", True, ()))
        with third.held():
            pass
        heard = third.heard()
        assert heard
        assert isinstance(heard.ending, Pulled)


def test_of_many_one_at_a_time_works_and_each_ends(tmp_path: Path) -> None:
    """However they come and go, two never work at once, and nothing is left."""
    working: list[int] = []
    worked: list[int] = []

    def pull(number: int) -> None:
        for _ in range(20):
            with contextlib.closing(Lease(tmp_path, "org/a")) as lease:
                while True:
                    with lease.held() as held:
                        if held:
                            working.append(number)
                            assert working == [number]
                            worked.append(number)
                            working.remove(number)
                            if number % 2:
                                lease.say(PullFailed("disk_full", "Make room."))
                            break
                    if (heard := lease.heard()) and heard.ending:
                        break

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(pull, number) for number in range(4)]:
            done.result(60)
    assert worked
    assert list(tmp_path.iterdir()) == []


def test_words_that_are_none_are_not_heard(tmp_path: Path) -> None:
    lease = Lease(tmp_path, "org/a")
    with lease.held():
        lease.say(Progress())
        (words,) = tmp_path.glob("*.json")
        words.write_bytes(b'{"progress": 1')
        assert lease.heard() is None


def test_a_disk_that_takes_no_words_is_no_error(tmp_path: Path) -> None:
    lease = Lease(tmp_path / "gone", "org/a")
    lease.say(Progress())
    assert lease.heard() is None


def test_only_leases_that_nobody_holds_are_swept(tmp_path: Path) -> None:
    held, dead = Lease(tmp_path, "org/held"), Lease(tmp_path, "org/dead")
    killed = dead.held()
    killed.__enter__()
    dead.say(Progress())
    dead.close()
    with held.held():
        held.say(Progress())
        leases_sweep(tmp_path)
        assert held.heard()
        assert dead.heard() is None
        assert len(list(tmp_path.iterdir())) == 2
        assert all(path.name.startswith("org--held") for path in tmp_path.iterdir())


def test_a_lease_whose_file_was_swept_meanwhile_is_not_held(tmp_path: Path) -> None:
    waiting, next_one = Lease(tmp_path, "org/a"), Lease(tmp_path, "org/a")
    with waiting.held() as first:
        assert first
        next(tmp_path.glob("*.lock")).unlink()
        with next_one.held() as second:
            assert second
