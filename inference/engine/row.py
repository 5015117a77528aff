"""A row: one answer on its way through the batch, from its prompt to its end.

Knows how far it has come, turns its tokens into events, and notices its own end. Knows nothing of
torch, of the rows beside it, and of where its keys and values lie.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Protocol

from msgspec.structs import replace

from inference.engine.answers import AnswerReader
from inference.engine.echo import Echo
from inference.engine.logprobs import LogprobReport, Score
from inference.engine.writer import AnswerWriter
from inference.protocol import Done, Event, Options, Piece, Reading, Reason, Text, Timings, Usage
from inference.request_id import request_id


class Grammar(Protocol):
    """What may follow in an answer that has a format."""

    def allowed(self) -> Any:
        """Which tokens may follow, as the sampler takes it."""

    def accept(self, token: int) -> None:
        """``token`` follows."""


class Media(Protocol):
    """What a prompt holds besides text: pictures and sounds, which stand in the place of some tokens."""

    @property
    def keys(self) -> Sequence[int]:
        """The prompt's tokens as slots remember them: those of pictures say which."""

    def cut_after(self, place: int) -> int:
        """The first place from ``place`` on where the prompt can be read in two pieces."""

    def cut_before(self, place: int) -> int:
        """The last such place up to ``place``."""


class Prompt(list[int]):
    """The token ids of a prompt to a model that sees, and what some of them stand for, if any do."""

    def __init__(self, tokens: Iterable[int], media: Media | None = None) -> None:
        super().__init__(tokens)
        self.media = media


class Stage(IntEnum):
    """A row's life, in its order; a text that is full is read again."""

    WAITING = 0
    READING = 1
    WRITING = 2
    ENDED = 3


@dataclass(eq=False)
class Row:
    """One answer to one request. ``prompt`` are token ids, ``limit`` the most tokens to generate: none
    only with ``echo``.

    ``options`` are complete: nothing in them is ``None`` but the seed. ``owner`` names who may
    share what was read before: rows of different owners never do. ``reader`` tells thoughts and calls
    of tools from text; without one all is text. ``report`` says how tokens are reported, if they are;
    with ``echo`` the prompt is sent first.

    Where ``context`` is given, a text of so many tokens is full: the older half of what follows its
    first ``keep`` is forgotten, the rest is read anew, and the answer goes on.

    Sample ``sample`` of a request draws from a random stream of its own; all but the first have it as
    their ``leader``, and wait until it has read the prompt.

    What is logged for the row names ``request``, that which is answered where the row is made.
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
    report: LogprobReport | None = None
    echo: bool = False
    context: int | None = None
    keep: int = 0
    sample: int = 0
    leader: Row | None = None
    request: str = field(default_factory=request_id)
    stage: Stage = Stage.WAITING
    read: int = 0
    reused: int = 0
    cancelled: bool = False

    def __post_init__(self) -> None:
        self.random = _random(self.options.seed, self.sample)
        self.tokens = [*self.prompt]
        """Prompt and answer, all of them."""
        self.media = self.prompt.media if isinstance(self.prompt, Prompt) else None
        self.seen = [*self.prompt]
        """What the model sees: the first ``read`` tokens of it are in the row's slot."""
        self.generated = 0
        self._writer = AnswerWriter(self.decode, self.options.stop or (), self.reader, self.sample)
        self._echo = Echo(self.prompt, self.decode, self.report) if self.echo and not self.leader else None
        self.first: int | None = None
        """When the prompt had been read, in nanoseconds."""
        self._started = time.perf_counter_ns()

    @property
    def ready(self) -> bool:
        """Whether the row can be let in: not before its leader has read what they share."""
        leader = self.leader
        return leader is None or leader.first is not None or leader.stage is Stage.ENDED

    @property
    def scores_prompt(self) -> bool:
        """Whether every token that is being read is to be scored."""
        return self._echo is not None and self.report is not None and self.first is None

    @property
    def unread(self) -> int:
        """Tokens that the model has yet to see before it says the next one."""
        return len(self.seen) - self.read

    @property
    def decodes(self) -> bool:
        """Whether one token is left to read: it takes one pass together with those of other rows.

        Of a prompt that is so for samples only. Reading rounds otherwise than decoding, and a prompt of which
        all but the last token was there already is to be answered like one that is read as a whole. And of
        a prompt to a model that sees never: what slots hold does not tell where its positions go on.
        """
        if self.stage is Stage.READING and (self.leader is None or isinstance(self.prompt, Prompt)):
            return False
        return self.unread == 1 and self.read > 0 and not self.scores_prompt

    @property
    def reads(self) -> bool:
        """Whether there is more to read than that."""
        return self.stage is Stage.READING and not self.decodes

    def chunk(self, most: int) -> list[int]:
        """The next tokens to read: at most so many, unless a picture would be cut in two.

        A sample leaves the last of its prompt to the decoding pass, even where it finds nothing to copy: so
        that rounding is the same, and with it the text, whether it waited for a slot or not.
        """
        last = len(self.seen) - 1 if self.leader and self.first is None else len(self.seen)
        end = min(self.read + most, max(last, self.read + 1))
        return self.seen[self.read : self.media.cut_after(end) if self.media else end]

    def held(self, count: int) -> Sequence[int]:
        """The next ``count`` tokens as a slot remembers them."""
        source = self.media.keys if self.media and self.read < len(self.prompt) else self.seen
        return source[self.read : self.read + count]

    def begin(self, reused: int) -> None:
        """Start reading, ``reused`` tokens of the prompt being read already."""
        self.stage = Stage.READING
        self.read = self.reused = reused
        self._started = time.perf_counter_ns()

    def advance(self, count: int, scores: Sequence[Score | None] = ()) -> list[Event]:
        """``count`` tokens have been read; ``scores`` are those of the tokens that follow each of them."""
        self.read += count
        if self.stage is Stage.WRITING:
            return []
        events: list[Event] = []
        if self.first is None:
            events.append(Reading(done=self.read, total=len(self.prompt)))
            if self._echo:
                events += self._echo.push(self.read, scores)
        if not self.unread:
            self.stage = Stage.WRITING
            if self.first is None:
                self.first = time.perf_counter_ns()
                events += self._echo_of_leader()
            if not self.limit:
                events += self._end("length", [])
        return events

    def _echo_of_leader(self) -> list[Text]:
        if not (self.echo and self.leader and self.leader._echo):
            return []
        return [replace(piece, sample=self.sample) for piece in self.leader._echo.pieces]

    def accept(self, token: int, score: Score | None = None) -> list[Event]:
        """The events that the next ``token`` brings; ``Done`` among them when it is the last."""
        self.generated += 1
        self.tokens.append(token)
        self.seen.append(token)
        if token in self.ends:
            return self._end("stop", self._writer.finish())
        if self.grammar:
            self.grammar.accept(token)
        logprob = self.report.of(token, score) if self.report else None
        pieces = self._writer.push(token, logprob)
        if self._writer.stopped:
            return self._end("stop", pieces + self._writer.finish())
        if self.generated == self.limit:
            return self._end("length", pieces + self._writer.finish())
        if len(self.seen) == self.context:
            self._shift()
        return [*pieces]

    def _shift(self) -> None:
        """Forget the older half of what follows the beginning that is kept."""
        dropped = max(1, (len(self.seen) - self.keep) // 2)
        del self.seen[self.keep : self.keep + dropped]
        self.read = min(self.read, self.keep)
        self.stage = Stage.READING

    def _end(self, reason: Reason, pieces: list[Piece]) -> list[Event]:
        self.stage = Stage.ENDED
        now = time.perf_counter_ns()
        first = self.first or now
        done = Done(
            reason=reason,
            usage=Usage(prompt=len(self.prompt), cached=self.reused, completion=self.generated),
            timings=Timings(prompt=first - self._started, completion=now - first),
            context=tuple(self.tokens),
            stop_string=self._writer.stop_string,
        )
        return [*pieces, done]


def _random(seed: int | None, sample: int) -> random.Random:
    """The random stream of a sample: the first's is that of a request for one."""
    if seed is None or seed < 0:
        return random.Random()  # noqa: S311
    return random.Random(f"{seed}/{sample}" if sample else seed)  # noqa: S311
