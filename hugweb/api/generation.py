"""The one generation path behind all dialects: events that have begun, and events folded into one.

A dialect turns its request into ours, calls ``begin``, and writes the events as its frames, or
calls ``fold`` and writes one answer. Knows nothing of any dialect.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import TypeVar

from hugweb.api.remarks import MODEL, NOTE, remark
from inference.errors import EngineDied
from inference.protocol import (
    Called,
    Done,
    Drawing,
    Embedded,
    Events,
    FellBack,
    Heard,
    Logprob,
    Noted,
    Picture,
    Progress,
    Ranked,
    Reason,
    Rendered,
    Result,
    Text,
    Thought,
    Tokens,
    ToolCall,
)

E = TypeVar("E")
R = TypeVar("R", bound=Result)
# What an answer consists of, and what a client that asks for progress is told besides.
Begun = Text | Thought | Called | Result | Drawing | Done
Content = Begun | Progress
Answer = AsyncGenerator[Content, None]


async def begin(events: Events, *, progress: bool = False) -> Answer:
    """``events`` from their first content on, which is already there when this returns.

    Whatever can fail before that (no such model, no memory, no engine) is raised here, while the
    response can still carry a status. With ``progress``, what is being waited for is content too.
    Whoever looked something up before has given the database connection back: an answer may take
    minutes, and PostgreSQL usually has a hundred.
    """
    answer = _content(events, progress=progress)
    try:
        first = await anext(answer)
    except StopAsyncIteration as error:
        raise EngineDied from error
    except BaseException:
        await events.aclose()
        raise
    return resumed(first, answer)


async def _content(events: Events, *, progress: bool) -> Answer:
    async with contextlib.aclosing(events):
        async for event in events:
            if isinstance(event, FellBack):
                remark(MODEL, event.model)
            elif isinstance(event, Noted):
                remark(NOTE, event.note)
            if isinstance(event, Begun) or (progress and isinstance(event, Progress)):
                yield event


async def resumed(first: E, rest: AsyncGenerator[E, None]) -> AsyncGenerator[E, None]:
    """``rest``, of which ``first`` has been taken. It ends with this, also where this never begins."""
    async with contextlib.aclosing(rest):
        yield first
        async for event in rest:
            yield event


@dataclass
class Sample:
    """One whole answer of a request; ``reasoning`` of its tokens were thought."""

    text: str = ""
    thinking: str = ""
    reasoning: int = 0
    calls: list[ToolCall] = field(default_factory=list)
    logprobs: list[Logprob] = field(default_factory=list)

    def add(self, piece: Text | Thought | Called) -> None:
        """Take in the next ``piece``."""
        self.logprobs.extend(piece.logprobs)
        match piece:
            case Text(text=text):
                self.text += text
            case Thought(text=text, tokens=tokens):
                self.thinking += text
                self.reasoning += tokens
            case Called(call=call):
                self.calls.append(call)


@dataclass(frozen=True)
class Folded:
    """Everything that a request was answered with."""

    samples: tuple[Sample, ...]
    results: tuple[Result, ...]
    done: Done

    @property
    def sample(self) -> Sample:
        """The only answer, or the first."""
        return self.samples[0]

    @property
    def reasoning(self) -> int:
        """Tokens of all samples that were thought."""
        return sum(sample.reasoning for sample in self.samples)

    def reason(self, sample: int) -> Reason:
        """Why a sample ended."""
        return reason_of(self.done, sample)

    def result(self, kind: type[R]) -> R:
        """The first result of that kind; an engine that sent none is broken."""
        for result in self.results:
            if isinstance(result, kind):
                return result
        raise EngineDied("The engine did not answer what was asked.")


def reason_of(done: Done, sample: int) -> Reason:
    """Why a sample ended."""
    return done.reasons[sample] if done.reasons else done.reason


async def fold(answer: Answer, samples: int = 1) -> Folded:
    """The whole of ``answer``, which has so many samples; its error is raised."""
    folding = tuple(Sample() for _ in range(samples))
    results: list[Result] = []
    async with contextlib.aclosing(answer):
        async for event in answer:
            match event:
                case Done():
                    return Folded(folding, tuple(results), event)
                case Text() | Thought() | Called():
                    folding[event.sample].add(event)
                case Rendered() | Tokens() | Embedded() | Ranked() | Heard() | Picture():
                    results.append(event)
    raise EngineDied
