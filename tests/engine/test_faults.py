"""The scheduler where things go wrong: each fault ends its own row, and no other is held up by it."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from inference.engine.logprobs import Score
from inference.engine.row import Row, Stage
from inference.engine.scheduler import Scheduler
from inference.errors import InferenceError
from inference.protocol import Done, Event, Failed
from tests.engine.arithmetic import Arithmetic, Client, expected


class Fault(enum.Enum):
    """What goes wrong with a row, each in a place of its own."""

    DECODE = enum.auto()
    MISTAKE = enum.auto()
    DRAW = enum.auto()
    NUMBERS = enum.auto()
    FORMAT = enum.auto()
    READER = enum.auto()
    DELIVERY = enum.auto()


class Faulty(Client):
    """A request with which something goes wrong once it has so many tokens, or nothing."""

    def __init__(self, prompt: list[int], limit: int, fault: Fault | None, after: int) -> None:
        super().__init__(prompt, limit)
        self.fault, self.after = fault, after
        self.row.grammar = self
        self.row.deliver = self.take

    def goes_wrong(self, fault: Fault) -> bool:
        return self.fault is fault and self.row.generated >= self.after

    def allowed(self) -> None:
        """The arithmetic sampler asks nobody."""

    def accept(self, token: int) -> None:
        """Of a format: the token is counted already."""
        if self.goes_wrong(Fault.FORMAT):
            raise InferenceError("no further")
        if self.goes_wrong(Fault.READER):
            raise KeyError(token)

    def take(self, events: list[Event]) -> None:
        if not events and self.goes_wrong(Fault.DELIVERY):
            raise ValueError("nobody is there")
        self.events.extend(events)

    @property
    def expected(self) -> list[int]:
        """All that is said before it goes wrong."""
        whole = expected(self.prompt, self.limit)
        if self.fault is None:
            return whole
        # What breaks with a token takes it along; what breaks on the way to the next one does not.
        takes = self.fault in {Fault.FORMAT, Fault.READER}
        return whole[: max(0, max(self.after, 1) - 1)] if takes else whole[: max(self.after, 0)]


class FaultyModel(Arithmetic):
    """A model, and a sampler, with which what is wrong with a row goes wrong."""

    def __init__(self, slots: int, most_rows: int) -> None:
        super().__init__(slots, most_rows=most_rows)
        self.clients: dict[Row, Faulty] = {}
        self.scheduler: Scheduler[list[int]] = Scheduler(self, self)

    def decode(self, slots: Sequence[int], positions: Sequence[int], tokens: Sequence[int]) -> list[int]:
        rows = [slot.row for slot in self.scheduler._slots if slot.index in slots]
        if any(row and self.clients[row].goes_wrong(Fault.DECODE) for row in rows):
            raise InferenceError("It cannot be decoded.")
        if any(row and self.clients[row].goes_wrong(Fault.MISTAKE) for row in rows):
            raise IndexError("There is no such position.")
        return super().decode(slots, positions, tokens)

    def draw(self, logits: list[int], rows: Sequence[Row]) -> list[int | None]:
        assert len(logits) == len(rows)
        if any(self.clients[row].goes_wrong(Fault.DRAW) for row in rows):
            raise ValueError("It cannot be drawn.")
        return [
            None if self.clients[row].goes_wrong(Fault.NUMBERS) else said
            for said, row in zip(logits, rows, strict=True)
        ]

    def score(self, *_: object) -> list[Score | None]:
        raise AssertionError("nobody asks")


faulty = st.builds(
    Faulty,
    st.lists(st.integers(0, 3), min_size=1, max_size=6),
    st.integers(1, 12),
    st.one_of(st.none(), st.sampled_from(Fault)),
    st.integers(1, 10),
)


@settings(max_examples=200)
@given(st.integers(1, 4), st.integers(1, 4), st.lists(st.tuples(faulty, st.integers(0, 12)), max_size=8))
def test_whatever_goes_wrong_ends_one_row_and_holds_up_none(
    slots: int, most_rows: int, plan: list[tuple[Faulty, int]]
) -> None:
    """And every row that writes gets a token with every step, in however many passes."""
    model = FaultyModel(slots, most_rows)
    scheduler, clients = model.scheduler, [client for client, _ in plan]
    model.clients = {client.row: client for client in clients}
    for step in range(200):
        scheduler.waiting.extend(client.row for client, arrives in plan if arrives == step)
        writing = {
            client.row: client.row.generated for client in clients if client.row.stage is Stage.WRITING
        }
        scheduler.step()
        for row, generated in writing.items():
            assert row.stage is Stage.ENDED or row.generated == generated + 1
        assert scheduler.active <= slots
    assert not scheduler.busy
    for client in clients:
        fails = client.fault is not None and client.after < client.limit
        assert isinstance(client.last, Failed if fails else Done) or client.after == client.limit
        assert client.said == client.expected[: client.limit]
        assert sum(isinstance(event, Done | Failed) for event in client.events) == 1
