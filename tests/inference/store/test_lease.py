from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.store.lease import Lease, leases_sweep
from inference.store.progress import FileProgress, Progress, Pulled, PullEnding, PullFailed


def test_one_holds_it_at_a_time(tmp_path: Path) -> None:
    one, two, other = Lease(tmp_path, "org/a"), Lease(tmp_path, "ORG/A"), Lease(tmp_path, "org/b")
    with one.held() as first, two.held() as second, other.held() as third:
        assert (first, second, third) == (True, False, True)
    with two.held() as second:
        assert second


@given(first=st.text(max_size=20), second=st.text(max_size=20))
def test_what_is_not_the_same_has_another_lease(first: str, second: str, tmp_path_factory) -> None:
    folder = tmp_path_factory.mktemp("leases", numbered=True)
    with Lease(folder, f"a/{first}").held(), Lease(folder, f"a/{second}").held() as held:
        assert held == (first.lower() != second.lower())
    assert {path.parent for path in folder.rglob("*")} == {folder}


@pytest.mark.parametrize(
    "ending", [Pulled("org/a", "text generation", True, ("b.bin",)), PullFailed("disk_full", "Make room.")]
)
def test_what_the_holder_says_is_heard(tmp_path: Path, ending: PullEnding) -> None:
    holder, other = Lease(tmp_path, "org/a"), Lease(tmp_path, "org/a")
    progress = Progress("fetching", (FileProgress("a", 10, 5, "0" * 64),), 1.5, "so")
    with holder.held():
        holder.say(progress)
        before = other.heard()
        holder.say(ending)
        after = other.heard()
    assert before
    assert after
    assert (before.progress, before.ending) == (progress, None)
    assert (after.progress, after.ending) == (progress, ending)
    assert before.holder == after.holder
    assert Lease(tmp_path, "org/b").heard() is None


def test_each_holder_is_another_one(tmp_path: Path) -> None:
    holders = set()
    for _ in range(2):
        lease = Lease(tmp_path, "org/a")
        with lease.held():
            lease.say(Progress())
            heard = lease.heard()
            assert heard
            holders.add(heard.holder)
    assert len(holders) == 2


def test_words_that_are_none_are_not_heard(tmp_path: Path) -> None:
    lease = Lease(tmp_path, "org/a")
    with lease.held():
        lease.say(Progress())
    (words,) = tmp_path.glob("*.json")
    words.write_bytes(b'{"holder": 1')
    assert lease.heard() is None


def test_a_disk_that_takes_no_words_is_no_error(tmp_path: Path) -> None:
    lease = Lease(tmp_path / "gone", "org/a")
    lease.say(Progress())
    assert lease.heard() is None


def test_only_leases_that_nobody_holds_are_swept(tmp_path: Path) -> None:
    held, dead = Lease(tmp_path, "org/held"), Lease(tmp_path, "org/dead")
    with dead.held():
        dead.say(Progress())
    with held.held():
        held.say(Progress())
        leases_sweep(tmp_path)
        assert held.heard()
        assert dead.heard() is None
        assert all(path.name.startswith("org--held") for path in tmp_path.iterdir())


def test_a_lease_whose_file_was_swept_meanwhile_is_not_held(tmp_path: Path) -> None:
    waiting, next_one = Lease(tmp_path, "org/a"), Lease(tmp_path, "org/a")
    with waiting.held() as first:
        assert first
        next(tmp_path.glob("*.lock")).unlink()
        with next_one.held() as second:
            assert second
