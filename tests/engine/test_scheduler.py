"""The scheduler with a model made of arithmetic."""

from __future__ import annotations

import weakref
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.engine.echo import Echo
from inference.engine.row import Row, Stage
from inference.engine.scheduler import CHUNK, NOT_NUMBERS, Scheduler
from inference.errors import InferenceError
from inference.protocol import Done, Failed, Piece
from tests.engine.arithmetic import Arithmetic, Client, Greedy, expected, run, scheduler_of

requests = st.lists(
    st.tuples(
        st.lists(st.integers(0, 3), min_size=1, max_size=12),
        st.integers(1, 8),
        st.sampled_from(["", "ann", "bob"]),
        st.integers(0, 30),
        st.one_of(st.none(), st.integers(0, 30)),
    ),
    max_size=12,
)


class Holding(Arithmetic):
    """A model whose passes work with something large; three rows are too many."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.most_rows = 2
        self.large: list[weakref.ref[Arithmetic]] = []

    def decode(self, slots: Sequence[int], positions: Sequence[int], tokens: Sequence[int]) -> list[int]:
        assert not any(large() for large in self.large), "what a failed pass worked with is still there"
        large = Arithmetic(0)
        self.large.append(weakref.ref(large))
        return super().decode(slots, positions, tokens)


def test_a_smaller_pass_has_the_memory_of_the_one_that_failed() -> None:
    forward = Holding(4)
    scheduler, clients = scheduler_of(forward), [Client([number], 8) for number in range(4)]
    scheduler.waiting.extend(client.row for client in clients)
    while scheduler.busy:
        scheduler.step()
    assert [client.said for client in clients] == [expected([number], 8) for number in range(4)]
    assert forward.passes > scheduler.steps, "some were halved"


@settings(max_examples=200)
@given(st.integers(1, 4), requests, st.booleans())
def test_rows_never_mix_whatever_comes_and_goes(
    slots: int, plan: list[tuple[list[int], int, str, int, int | None]], rewinds: bool
) -> None:
    """Requests arrive, are cancelled and end in any order: each says exactly what it says alone."""
    scheduler = scheduler_of(Arithmetic(slots, rewinds))
    clients = [Client(prompt, limit, owner) for prompt, limit, owner, _, _ in plan]
    for step in range(200):
        for client, (_, _, _, arrives, leaves) in zip(clients, plan, strict=True):
            if arrives == step:
                scheduler.waiting.append(client.row)
            if leaves == step:
                client.row.cancelled = True
        scheduler.step()
        assert scheduler.active <= slots
    assert not scheduler.busy
    for client, (_, _, _, _, leaves) in zip(clients, plan, strict=True):
        whole = expected(client.prompt, client.limit)
        if leaves is None:
            assert client.said == whole
            assert isinstance(client.last, Done)
        else:
            assert client.said == whole[: len(client.said)]
    assert all(slot.row is None for slot in scheduler._slots)


def test_all_rows_decode_in_one_pass() -> None:
    forward = Arithmetic(4)
    scheduler = scheduler_of(forward)
    clients = [Client([number], 20) for number in range(4)]
    scheduler.waiting.extend(client.row for client in clients)
    run(scheduler)
    assert all(client.said == expected(client.prompt, 20) for client in clients)
    assert forward.passes <= 20 + 4


def test_a_long_prompt_does_not_hold_the_others_up() -> None:
    """While it is read in chunks, every step brings the others a token."""
    scheduler = scheduler_of(Arithmetic(2))
    writer = Client([1], 40)
    scheduler.waiting.append(writer.row)
    scheduler.step()
    reader = Client([2] * (CHUNK * 10), 3)
    scheduler.waiting.append(reader.row)
    for _ in range(10):
        before = len(writer.said)
        scheduler.step()
        assert len(writer.said) == before + 1
    run(scheduler)
    assert reader.said == expected(reader.prompt, 3)


def test_first_come_first_served() -> None:
    scheduler = scheduler_of(Arithmetic(1))
    clients = [Client([number], 3) for number in range(5)]
    scheduler.waiting.extend(client.row for client in clients)
    order: list[int] = []
    while scheduler.busy:
        scheduler.step()
        order += [
            index
            for index, client in enumerate(clients)
            if isinstance(client.last, Done) and index not in order
        ]
    assert order == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("stage", [Stage.WAITING, Stage.READING, Stage.WRITING])
def test_a_cancelled_row_leaves_with_the_next_step(stage: Stage) -> None:
    scheduler = scheduler_of(Arithmetic(1))
    blocker = Client([1], 50)
    leaver = Client([2] * (CHUNK * 3), 50) if stage is Stage.READING else Client([2], 50)
    if stage is Stage.WAITING:
        scheduler.waiting.append(blocker.row)
    scheduler.waiting.append(leaver.row)
    scheduler.step()
    assert leaver.row.stage is stage
    leaver.row.cancelled = True
    count = len(leaver.events)
    scheduler.step()
    assert len(leaver.events) == count
    assert leaver.row not in scheduler.waiting
    assert scheduler.active == (1 if stage is Stage.WAITING else 0)


def test_a_pass_that_is_too_large_is_made_smaller() -> None:
    forward = Arithmetic(4, most_rows=1)
    scheduler = scheduler_of(forward)
    clients = [Client([number], 10) for number in range(4)]
    scheduler.waiting.extend(client.row for client in clients)
    run(scheduler)
    assert all(client.said == expected(client.prompt, 10) for client in clients)


def test_one_rows_failure_ends_only_that_row() -> None:
    forward = Arithmetic(4)
    scheduler = scheduler_of(forward)
    clients = [Client([number], 10) for number in range(4)]
    scheduler.waiting.extend(client.row for client in clients)
    for _ in range(6):
        scheduler.step()
    forward.fail_slots = {2}
    run(scheduler)
    failed = [client for client in clients if isinstance(client.last, Failed)]
    assert len(failed) == 1
    assert all(client.said == expected(client.prompt, 10) for client in clients if client not in failed)
    forward.fail_slots = set()
    again = Client([2], 5)
    scheduler.waiting.append(again.row)
    run(scheduler)
    assert again.said == expected([2], 5)


def test_after_an_unforeseen_error_nothing_is_left() -> None:
    scheduler = scheduler_of(Arithmetic(2))
    clients = [Client([number], 10) for number in range(4)]
    scheduler.waiting.extend(client.row for client in clients)
    scheduler.step()
    scheduler.fail_all(InferenceError("It broke."))
    assert all(isinstance(client.last, Failed) for client in clients)
    assert not scheduler.busy


class Spoiling(Arithmetic):
    """A model whose failing passes leave nonsense behind."""

    def decode(self, slots: Sequence[int], positions: Sequence[int], tokens: Sequence[int]) -> list[int]:
        for slot in self.fail_slots & set(slots):
            self.held[slot] = [-1] * len(self.held[slot])
        return super().decode(slots, positions, tokens)


def test_what_a_failed_pass_left_behind_is_not_reused() -> None:
    forward = Spoiling(1)
    scheduler = scheduler_of(forward)
    for fails in (True, False):
        forward.fail_slots = {0} if fails else set()
        client = Client([1, 2, 3], 5)
        scheduler.waiting.append(client.row)
        run(scheduler)
        assert isinstance(client.last, Failed if fails else Done)
    assert client.said == expected([1, 2, 3], 5)


def test_after_an_unforeseen_error_nothing_is_reused() -> None:
    scheduler = scheduler_of(Arithmetic(1))
    for cached in (0, 0):
        client = Client([1, 2, 3], 5)
        scheduler.waiting.append(client.row)
        run(scheduler)
        assert isinstance(client.last, Done)
        assert client.last.usage.cached == cached
        scheduler.fail_all(InferenceError("It broke."))


def test_an_end_token_ends_and_is_not_shown() -> None:
    said = expected([5], 6)
    scheduler = scheduler_of(Arithmetic(1))
    client = Client([5], 20, ends=frozenset({said[3]}))
    scheduler.waiting.append(client.row)
    run(scheduler)
    assert client.said == said[: said.index(said[3])]
    assert isinstance(client.last, Done)
    assert (client.last.reason, client.last.usage.completion) == ("stop", said.index(said[3]) + 1)


class Forbidding:
    """A format that breaks at its third token."""

    accepted = 0

    def allowed(self) -> None:
        """The arithmetic sampler asks nobody."""

    def accept(self, token: int) -> None:
        self.accepted += 1
        if self.accepted == 3:
            raise InferenceError("no further")


def test_a_format_that_breaks_ends_only_its_row() -> None:
    scheduler = scheduler_of(Arithmetic(3))
    clients = [Client([number], 10) for number in range(3)]
    clients[1].row.grammar = Forbidding()
    scheduler.waiting.extend(client.row for client in clients)
    run(scheduler)
    assert clients[1].last == Failed(code="internal", message="no further")
    assert all(client.said == expected(client.prompt, 10) for client in (clients[0], clients[2]))


def test_a_prompt_that_is_too_large_is_read_in_smaller_pieces() -> None:
    scheduler = scheduler_of(Arithmetic(2, most_tokens=70))
    client = Client(list(range(600)), 5)
    scheduler.waiting.append(client.row)
    run(scheduler)
    assert client.said == expected(client.prompt, 5)


def test_a_prompt_that_cannot_be_read_at_all_ends_alone() -> None:
    scheduler = scheduler_of(Arithmetic(2, most_tokens=8))
    short, long = Client([1, 2], 5), Client(list(range(100)), 5)
    scheduler.waiting.extend([short.row, long.row])
    run(scheduler)
    assert short.said == expected(short.prompt, 5)
    assert isinstance(long.last, Failed)
    assert long.last.code == "out_of_memory"


class Confused:
    """A reader with a mistake in it."""

    def push(self, text: str) -> list[Piece]:
        raise KeyError(text)

    def finish(self) -> list[Piece]:
        return []


def test_a_mistake_of_ours_ends_only_the_row_it_meets() -> None:
    scheduler = scheduler_of(Arithmetic(3))
    clients = [Client([number], 10, reader=Confused() if number == 1 else None) for number in range(3)]
    scheduler.waiting.extend(client.row for client in clients)
    run(scheduler)
    assert clients[1].last == Failed.of(InferenceError())
    assert all(client.said == expected(client.prompt, 10) for client in (clients[0], clients[2]))


class Refusing(Greedy):
    """A sampler that one row is too much for, and that finds no numbers in another's logits."""

    def draw(self, logits: list[int], rows: Sequence[Row]) -> list[int | None]:
        if any(row.prompt == [1] and row.generated for row in rows):
            raise ValueError("no")
        return [None if row.prompt == [2] else said for said, row in zip(logits, rows, strict=True)]


def test_a_row_that_cannot_be_sampled_ends_alone() -> None:
    scheduler: Scheduler[list[int]] = Scheduler(Arithmetic(4), Refusing())
    clients = [Client([number], 10) for number in range(4)]
    scheduler.waiting.extend(client.row for client in clients)
    run(scheduler)
    assert clients[1].last == Failed.of(InferenceError())
    assert clients[2].last == Failed.of(InferenceError(NOT_NUMBERS))
    assert all(client.said == expected(client.prompt, 10) for client in (clients[0], clients[3]))


def test_a_row_that_cannot_be_sampled_spares_one_that_is_being_read() -> None:
    """Also where it is the only one that is decoded."""
    scheduler: Scheduler[list[int]] = Scheduler(Arithmetic(2), Refusing())
    refused, reader = Client([1], 10), Client([3] * (CHUNK * 3), 10)
    scheduler.waiting.extend([reader.row, refused.row])
    run(scheduler)
    assert refused.last == Failed.of(InferenceError())
    assert reader.said == expected(reader.prompt, 10)


def unspeakable(tokens: list[int]) -> str:
    raise KeyError(tokens)


def test_a_prompt_that_cannot_be_echoed_ends_alone() -> None:
    """Also where its last token is read beside those of others."""
    scheduler = scheduler_of(Arithmetic(3))
    first = Client([1, 2, 3], 20)
    scheduler.waiting.append(first.row)
    scheduler.step()
    second, third = Client([1, 2, 3], 20), Client([1, 2, 3], 20)
    second.row._echo = Echo([1, 2, 3], unspeakable, None)
    scheduler.waiting.extend([second.row, third.row])
    run(scheduler)
    assert second.last == Failed.of(InferenceError())
    assert first.said == third.said == expected([1, 2, 3], 20)
