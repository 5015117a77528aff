"""An answer as state with versions: who waits wakes up, who comes late gets what is newer."""

from __future__ import annotations

import asyncio

from conversations.answer import ENDED, LiveAnswer, Phase


def test_a_reader_gets_only_what_is_newer() -> None:
    live = LiveAnswer()
    live.show(["a", "b"])
    seen = live.version
    live.show(["a", "b!", "c"])
    assert live.newer(0) == [(0, "a"), (1, "b!"), (2, "c")]
    assert live.newer(seen) == [(1, "b!"), (2, "c")]
    assert live.newer(live.version) == []


def test_blocks_that_stay_the_same_keep_their_version() -> None:
    live = LiveAnswer()
    live.show(["a", "b"])
    live.show(["a", "c"])
    live.show(["a"])
    assert live.blocks == [("a", 1)]


def test_entering_the_same_phase_again_changes_nothing() -> None:
    live = LiveAnswer()
    live.enter(Phase(name="queued", position=2))
    version = live.version
    live.enter(Phase(name="queued", position=2))
    assert live.version == version


async def test_all_readers_wake_up() -> None:
    live = LiveAnswer()
    readers = [asyncio.create_task(live.changed(since=0)) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(reader.done() for reader in readers)
    live.show(["a"])
    await asyncio.wait_for(asyncio.gather(*readers), 30)


async def test_nobody_waits_for_an_answer_that_has_ended() -> None:
    live = LiveAnswer()
    live.enter(ENDED)
    await asyncio.wait_for(live.changed(since=100), 30)


def test_the_rate_is_that_of_the_writing() -> None:
    live = LiveAnswer()
    assert live.stats.rate == 0
    live.count(1)
    assert live.stats.rate == 0
    live.count(3)
    assert live.stats.tokens == 4
    assert live.stats.rate > 0
