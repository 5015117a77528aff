"""The samples of one request: several rows whose events go out as one stream, with one end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

from msgspec.structs import replace

from inference.engine.row import Row
from inference.protocol import Done, Event, Failed, Reading

Deliver = Callable[[list[Event]], None]


def sampled(count: int, make_row: Callable[[int, Row | None, Deliver], Row], deliver: Deliver) -> list[Row]:
    """``count`` rows, each made by ``make_row`` of its number, its leader and the function that takes its
    events; together they tell ``deliver`` of one answer or of several."""
    if count == 1:
        return [make_row(0, None, deliver)]
    samples = _Samples(deliver)
    leader = make_row(0, None, partial(samples.deliver, 0))
    others = [make_row(number, leader, partial(samples.deliver, number)) for number in range(1, count)]
    samples.rows = [leader, *others]
    return samples.rows


class _Samples:
    """Joins the events of ``rows``: progress is the first's, a failure of one is that of all."""

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver
        self.rows: list[Row] = []
        self._done: dict[int, Done] = {}
        self._failed = False

    def deliver(self, number: int, events: Sequence[Event]) -> None:
        if self._failed:
            return
        out: list[Event] = []
        for event in events:
            if isinstance(event, Done):
                self._done[number] = event
            elif number == 0 or not isinstance(event, Reading):
                out.append(event)
            if isinstance(event, Failed):
                self._fail()
        if len(self._done) == len(self.rows):
            out.append(self._joined())
        if out:
            self._deliver(out)

    def _fail(self) -> None:
        self._failed = True
        for row in self.rows:
            row.cancelled = True

    def _joined(self) -> Done:
        """The end of all: counts added up, the time from the first token of any to the last of all."""
        ends = [self._done[number] for number in range(len(self.rows))]
        first = ends[0]
        begun = min(row.first for row in self.rows if row.first)
        return replace(
            first,
            reasons=tuple(end.reason for end in ends),
            usage=replace(first.usage, completion=sum(end.usage.completion for end in ends)),
            timings=replace(first.timings, completion=time.perf_counter_ns() - begun),
        )
