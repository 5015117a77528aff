"""The scheduler with a model made of arithmetic: what a row says depends on all of its own tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.engine.logprobs import Score
from inference.engine.row import Row, Stage
from inference.engine.rows import DEFAULTS
from inference.engine.scheduler import CHUNK, Scheduler
from inference.errors import InferenceError, OutOfMemory
from inference.protocol import Done, Event, Failed, Text

VOCABULARY = 1000


def following(tokens: Sequence[int]) -> int:
    """What the model says after ``tokens``: any change of any of them changes it."""
    number = 7
    for token in tokens:
        number = (number * 31 + token + 1) % 1_000_003
    return number % VOCABULARY


def expected(prompt: Sequence[int], count: int) -> list[int]:
    tokens = list(prompt)
    for _ in range(count):
        tokens.append(following(tokens))
    return tokens[len(prompt) :]


@dataclass
class Arithmetic:
    """Forward passes whose cache is the tokens themselves, written where a real one would be."""

    slots: int
    rewinds: bool = True
    held: list[list[int]] = field(default_factory=list)
    read_tokens: int = 0
    passes: int = 0
    fail_slots: set[int] = field(default_factory=set)
    most_rows: int = 99

    def __post_init__(self) -> None:
        self.held = [[] for _ in range(self.slots)]

    def read(self, slot: int, start: int, tokens: Sequence[int], *, every: bool = False) -> list[int]:
        assert len(tokens) <= CHUNK
        assert start <= len(self.held[slot])
        assert self.rewinds or start in {0, len(self.held[slot])}
        self.held[slot][start:] = tokens
        self.read_tokens += len(tokens)
        if not every:
            return [following(self.held[slot])]
        return [following(self.held[slot][: start + index + 1]) for index in range(len(tokens))]

    def copy(self, source: int, target: int, count: int) -> None:
        assert self.rewinds
        assert source != target
        assert 0 < count <= len(self.held[source])
        self.held[target] = self.held[source][:count]

    def decode(self, slots: Sequence[int], positions: Sequence[int], tokens: Sequence[int]) -> list[int]:
        self.passes += 1
        assert list(slots) == sorted(set(slots))
        if len(slots) > self.most_rows or self.fail_slots & set(slots):
            raise OutOfMemory("too much")
        logits = []
        for slot, position, token in zip(slots, positions, tokens, strict=True):
            assert position <= len(self.held[slot])
            assert self.rewinds or position == len(self.held[slot])
            self.held[slot][position:] = [token]
            logits.append(following(self.held[slot]))
        return logits


class Greedy:
    """Takes the one token that the logits are."""

    def draw(self, logits: list[int], rows: Sequence[Row]) -> list[int | None]:
        assert len(logits) == len(rows)
        return [*logits]

    def score(
        self, logits: list[int], tokens: Sequence[int | None], counts: Sequence[int | None]
    ) -> list[Score | None]:
        """A token's score says which token the model would have said in its place."""
        assert len(logits) == len(tokens) == len(counts)
        return [
            None if count is None else Score(-float(said), [(said, 0.0)] * count)
            for said, count in zip(logits, counts, strict=True)
        ]


class Client:
    """A request and what came of it."""

    def __init__(
        self, prompt: list[int], limit: int, owner: str = "", ends: frozenset[int] = frozenset()
    ) -> None:
        self.events: list[Event] = []
        self.prompt, self.limit = prompt, limit
        self.row = Row(
            prompt=prompt,
            options=DEFAULTS,
            limit=limit,
            ends=ends,
            decode=lambda tokens: "".join(f"{token} " for token in tokens),
            deliver=self.events.extend,
            owner=owner,
        )

    @property
    def said(self) -> list[int]:
        return [int(word) for event in self.events if isinstance(event, Text) for word in event.text.split()]

    @property
    def last(self) -> Event | None:
        return self.events[-1] if self.events else None


def run(scheduler: Scheduler[list[int]], most: int = 10_000) -> None:
    for _ in range(most):
        if not scheduler.busy:
            return
        scheduler.step()
    raise AssertionError("the scheduler never came to rest")


def scheduler_of(forward: Arithmetic) -> Scheduler[list[int]]:
    return Scheduler(forward, Greedy())


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


def test_the_next_turn_reads_only_what_is_new() -> None:
    forward = Arithmetic(2)
    scheduler = scheduler_of(forward)
    history = list(range(100))
    for turn in range(5):
        client = Client([*history, 500 + turn], 10)
        scheduler.waiting.append(client.row)
        before = forward.read_tokens
        run(scheduler)
        assert client.said == expected(client.prompt, 10)
        assert forward.read_tokens - before == (101 if turn == 0 else 2)
        assert isinstance(client.last, Done)
        assert client.last.usage.cached == (0 if turn == 0 else len(client.prompt) - 2)
        history = [*client.prompt, *client.said]


def test_a_slot_that_cannot_go_back_is_read_anew() -> None:
    forward = Arithmetic(1, rewinds=False)
    scheduler = scheduler_of(forward)
    for prompt in ([1, 2, 3, 4], [1, 2, 9, 9]):
        client = Client(prompt, 3)
        scheduler.waiting.append(client.row)
        run(scheduler)
        assert client.said == expected(prompt, 3)
    assert forward.read_tokens == 8


def test_what_one_owner_had_read_is_not_reused_for_another() -> None:
    forward = Arithmetic(1)
    scheduler = scheduler_of(forward)
    for owner, cached in (("ann", 0), ("bob", 0), ("bob", 3)):
        client = Client([1, 2, 3, 4], 2, owner)
        scheduler.waiting.append(client.row)
        run(scheduler)
        assert isinstance(client.last, Done)
        assert client.last.usage.cached == cached


def test_two_conversations_keep_their_slots() -> None:
    forward = Arithmetic(2)
    scheduler = scheduler_of(forward)
    histories = {"a": [1] * 50, "b": [2] * 50}
    for turn in range(6):
        name = "ab"[turn % 2]
        client = Client([*histories[name], 3], 4)
        scheduler.waiting.append(client.row)
        run(scheduler)
        histories[name] = [*client.prompt, *client.said]
    assert forward.read_tokens == 2 * 51 + 4 * 2


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
