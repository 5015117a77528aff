"""The batch's thread: what it does between steps."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field

from inference.engine.batch import Batch
from inference.engine.row import Row
from inference.engine.samples import Deliver
from inference.protocol import Done
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


async def test_what_there_is_to_prepare_waits_until_nobody_waits() -> None:
    forward = Preparing(1)
    batch = Batch(scheduler_of(forward), places=1, max_queue=1)

    def make_rows(deliver: Deliver) -> list[Row]:
        return [
            Row(
                prompt=[1, 2],
                options=GREEDY,
                limit=5,
                ends=frozenset(),
                decode=str,
                deliver=deliver,
                owner="",
            )
        ]

    events = [event async for event in batch.run(make_rows)]
    assert isinstance(events[-1], Done)
    assert await asyncio.to_thread(forward.ready.wait, 30.0)
    batch.close()
    assert forward.calls == [False] * 4 + [True] * 3, "after each of the steps; then until nothing is left"
