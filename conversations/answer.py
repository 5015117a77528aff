"""An answer while it is being written, as state with versions rather than as a queue of events.

Every change gives the answer a new version, and every block remembers the version it last changed
in. A reader waits for a version newer than the one it has, then takes only what is newer: whoever
is slow skips the steps between, whoever comes back gets exactly what it missed, and nothing piles
up for anybody.

Lives on one event loop. Knows nothing of providers, of the database and of sockets.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct


class Phase(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the answer is doing: ``position`` in the queue, ``done`` of ``total`` prompt tokens."""

    name: Literal["waiting", "queued", "loading", "reading", "thinking", "writing", "ended"]
    position: int = 0
    done: int = 0
    total: int = 0


WAITING = Phase(name="waiting")
THINKING = Phase(name="thinking")
WRITING = Phase(name="writing")
ENDED = Phase(name="ended")


class Stats(Struct, frozen=True, kw_only=True):
    """``tokens`` written so far, at ``rate`` tokens a second, ``seconds`` after the start, of which
    ``thinking`` went into thoughts."""

    tokens: int
    rate: float
    seconds: float
    thinking: float = 0.0


Blocks = list[tuple[str, int]]


class LiveAnswer:
    """The answer of a running turn, for any number of readers."""

    def __init__(self) -> None:
        self.version = 0
        self.phase = WAITING
        self.tokens = 0
        self.blocks: Blocks = []
        self.thoughts: Blocks = []
        self._first_thought: float | None = None
        self._last_thought = 0.0
        self._began = time.monotonic()
        self._first_text: float | None = None
        self._last_text = self._began
        self._change = asyncio.Event()

    @property
    def ended(self) -> bool:
        return self.phase is ENDED

    @property
    def stats(self) -> Stats:
        """The figures at this moment; the rate is that of the writing, without the waiting."""
        now = time.monotonic()
        rate = self.tokens / self.writing_seconds if self.tokens > 1 and self.writing_seconds else 0.0
        return Stats(
            tokens=self.tokens,
            rate=round(rate, 1),
            seconds=round(now - self._began, 1),
            thinking=round(self.thinking_seconds, 1),
        )

    @property
    def seconds(self) -> float:
        """How long the turn has taken until its last token."""
        return self._last_text - self._began

    @property
    def writing_seconds(self) -> float:
        """How long the writing has taken, from the first token to the last."""
        return self._last_text - (self._first_text or self._last_text)

    @property
    def thinking_seconds(self) -> float:
        """How long the thinking has taken, from the first token of it to the last."""
        return self._last_thought - self._first_thought if self._first_thought else 0.0

    def enter(self, phase: Phase) -> None:
        """Go on to ``phase``."""
        if phase != self.phase:
            self.phase = phase
            self._changed()

    def count(self, tokens: int) -> None:
        """Note that ``tokens`` more have come."""
        self._last_text = time.monotonic()
        self._first_text = self._first_text or self._last_text
        self.tokens += tokens

    def count_thought(self, tokens: int) -> None:
        """Note that ``tokens`` more have come, of thoughts."""
        self.count(tokens)
        self._last_thought = self._last_text
        self._first_thought = self._first_thought or self._last_text

    def show(self, blocks: Sequence[str], thoughts: Sequence[str] = ()) -> None:
        """Let the text so far be ``blocks``, and what was thought before it ``thoughts``."""
        self.blocks = self._marked(self.blocks, blocks)
        self.thoughts = self._marked(self.thoughts, thoughts)
        self._changed()

    def _marked(self, old: Blocks, new: Sequence[str]) -> Blocks:
        """``new``, each block with the version that it is of."""
        version = self.version + 1
        return [
            old[index] if index < len(old) and old[index][0] == html else (html, version)
            for index, html in enumerate(new)
        ]

    def newer(self, since: int) -> list[tuple[int, str]]:
        """The blocks that changed after version ``since``, each with its place."""
        return _newer(self.blocks, since)

    def newer_thoughts(self, since: int) -> list[tuple[int, str]]:
        """As ``newer``, of the thoughts."""
        return _newer(self.thoughts, since)

    async def changed(self, *, since: int) -> None:
        """Returns once there is a version newer than ``since``, or nothing more will come."""
        while self.version <= since and not self.ended:
            await self._change.wait()

    def _changed(self) -> None:
        self.version += 1
        change, self._change = self._change, asyncio.Event()
        change.set()


def _newer(blocks: Blocks, since: int) -> list[tuple[int, str]]:
    return [(index, html) for index, (html, version) in enumerate(blocks) if version > since]
