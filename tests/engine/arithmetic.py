"""A model made of arithmetic: what a row says depends on all of its own tokens, and on nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from inference.engine.answers import AnswerReader
from inference.engine.logprobs import Score
from inference.engine.row import Row
from inference.engine.rows import DEFAULTS
from inference.engine.scheduler import CHUNK, Scheduler
from inference.errors import OutOfMemory
from inference.protocol import Event, Text

VOCABULARY = 1000
GREEDY = replace(DEFAULTS, temperature=0.0)


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
    bytes_per_token: int = 0
    held: list[list[int]] = field(default_factory=list)
    read_tokens: int = 0
    passes: int = 0
    fail_slots: set[int] = field(default_factory=set)
    most_rows: int = 99
    provisional: bool = False
    most_tokens: int = CHUNK

    def __post_init__(self) -> None:
        self.held = [[] for _ in range(self.slots)]

    def read(
        self, slot: int, start: int, tokens: Sequence[int], *, every: bool = False, media: Any = None
    ) -> list[int]:
        assert len(tokens) <= CHUNK
        assert start <= len(self.held[slot])
        if len(tokens) > self.most_tokens:
            raise OutOfMemory("too much")
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

    def prepare(self, *, idle: bool) -> bool:
        return False

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
    """Takes the one token that the logits are; at a temperature, the one that lies a draw further."""

    def draw(self, logits: list[int], rows: Sequence[Row]) -> list[int | None]:
        assert len(logits) == len(rows)
        return [
            (said + int(row.random.random() * 5)) % VOCABULARY if row.options.temperature else said
            for said, row in zip(logits, rows, strict=True)
        ]

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
        self,
        prompt: list[int],
        limit: int,
        owner: str = "",
        ends: frozenset[int] = frozenset(),
        reader: AnswerReader | None = None,
    ) -> None:
        self.events: list[Event] = []
        self.prompt, self.limit = prompt, limit
        self.row = Row(
            prompt=prompt,
            options=GREEDY,
            limit=limit,
            ends=ends,
            decode=lambda tokens: "".join(f"{token} " for token in tokens),
            deliver=self.events.extend,
            owner=owner,
            reader=reader,
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
