"""A row: one request on its way through the batch, from its prompt to the end of its answer.

Knows how far it has come, turns its tokens into events, and notices its own end. Knows nothing of
torch, of other rows, and of where its keys and values lie.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Protocol

from inference.engine.answers import AnswerReader
from inference.engine.writer import AnswerWriter
from inference.protocol import Done, Event, Options, Piece, Reading, Reason, Timings, Usage


class Grammar(Protocol):
    """What may follow in an answer that has a format."""

    def allowed(self) -> Any:
        """Which tokens may follow, as the sampler takes it."""

    def accept(self, token: int) -> None:
        """``token`` follows."""


class Stage(IntEnum):
    """A row's life, in its order."""

    WAITING = 0
    READING = 1
    WRITING = 2
    ENDED = 3


@dataclass(eq=False)
class Row:
    """One request. ``prompt`` are token ids, ``limit`` the most tokens to generate, at least one.

    ``options`` are complete: nothing in them is ``None`` but the seed. ``owner`` names who may
    share what was read before: rows of different owners never do. ``reader`` tells thoughts and calls
    of tools from text; without one all is text.
    """

    prompt: list[int]
    options: Options
    limit: int
    ends: frozenset[int]
    decode: Callable[[list[int]], str]
    deliver: Callable[[list[Event]], None]
    owner: str = ""
    grammar: Grammar | None = None
    reader: AnswerReader | None = None
    stage: Stage = Stage.WAITING
    read: int = 0
    reused: int = 0
    answer: list[int] = field(default_factory=list)
    cancelled: bool = False

    def __post_init__(self) -> None:
        seed = self.options.seed
        self.random = random.Random(seed if seed is not None and seed >= 0 else None)  # noqa: S311
        self._writer = AnswerWriter(self.decode, self.options.stop or (), self.reader)
        self._started = self._first = time.perf_counter_ns()

    def begin(self, reused: int) -> None:
        """Start reading, ``reused`` tokens of the prompt being read already."""
        self.stage = Stage.READING
        self.read = self.reused = reused
        self._started = time.perf_counter_ns()

    def unread(self, most: int) -> Sequence[int]:
        """The next tokens of the prompt, at most so many."""
        return self.prompt[self.read : self.read + most]

    def advance(self, count: int) -> list[Event]:
        """``count`` tokens of the prompt have been read."""
        self.read += count
        if self.read == len(self.prompt):
            self.stage = Stage.WRITING
            self._first = time.perf_counter_ns()
        return [Reading(done=self.read, total=len(self.prompt))]

    @property
    def position(self) -> int:
        """Where the token that was generated last stands in the row's text."""
        return len(self.prompt) + len(self.answer) - 1

    @property
    def tokens(self) -> list[int]:
        """Prompt and answer."""
        return self.prompt + self.answer

    def accept(self, token: int) -> list[Event]:
        """The events that the next ``token`` brings; ``Done`` among them when it is the last."""
        self.answer.append(token)
        if token in self.ends:
            return self._end("stop", self._writer.finish())
        if self.grammar:
            self.grammar.accept(token)
        pieces = self._writer.push(token)
        if self._writer.stopped:
            return self._end("stop", pieces + self._writer.finish())
        if len(self.answer) == self.limit:
            return self._end("length", pieces + self._writer.finish())
        return [*pieces]

    def _end(self, reason: Reason, pieces: list[Piece]) -> list[Event]:
        self.stage = Stage.ENDED
        now = time.perf_counter_ns()
        done = Done(
            reason=reason,
            usage=Usage(prompt=len(self.prompt), cached=self.reused, completion=len(self.answer)),
            timings=Timings(prompt=self._first - self._started, completion=now - self._first),
            context=(*self.prompt, *self.answer),
        )
        return [*pieces, done]
