"""What an answer's text looks like, rendered as it comes and no faster than is good for everybody.

Text is rendered in a thread, a few times a second at most; the pauses between grow with the work of it and
with what is sent. Lives on one event loop. Knows nothing of where text comes from, and of who reads it.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from conversations.answer import THINKING, WRITING, LiveAnswer
from conversations.blocks import BlockStream

RENDER_SECONDS = 0.05
# Rendering takes at most a fifth of a core, and sends at most this many bytes a second.
RENDER_SHARE = 5
BYTES_PER_SECOND = 400_000
# One thread for all turns: each further one would take its share of the interpreter from the loop.
RENDERER = ThreadPoolExecutor(1, "render")


class Renderer:
    """Shows text and thoughts on ``live``, as blocks of HTML."""

    def __init__(self, live: LiveAnswer) -> None:
        self._live = live
        self._blocks, self._thought_blocks = BlockStream(), BlockStream()
        self._text: list[str] = []
        self._thoughts: list[str] = []
        self._has_text = False
        self._news = asyncio.Event()

    def add(self, text: str) -> None:
        """``text`` follows."""
        self._text.append(text)
        self._has_text = True
        self._news.set()

    def add_thought(self, text: str) -> None:
        """``text`` follows, of the thoughts."""
        self._thoughts.append(text)
        self._news.set()

    async def run(self, writing: asyncio.Task[None]) -> None:
        """Show what is added until ``writing`` has ended, and then how it ended."""
        writing.add_done_callback(lambda _: self._news.set())
        while not writing.done():
            await self._news.wait()
            self._news.clear()
            started = time.monotonic()
            size = await self._render(last=writing.done())
            cost = (time.monotonic() - started) * (RENDER_SHARE - 1)
            pause = max(RENDER_SECONDS, cost, size / BYTES_PER_SECOND)
            await asyncio.wait({writing}, timeout=pause)
        await self._render(last=True)

    async def _render(self, *, last: bool) -> int:
        """Show what is new, and say how much HTML that is."""
        text, self._text = "".join(self._text), []
        thoughts, self._thoughts = "".join(self._thoughts), []
        version = self._live.version
        if text or thoughts or last:
            loop = asyncio.get_running_loop()
            self._live.show(*await loop.run_in_executor(RENDERER, self._grow, text, thoughts, last))
        if text or thoughts:
            self._live.enter(WRITING if self._has_text else THINKING)
        newer = *self._live.newer(version), *self._live.newer_thoughts(version)
        return sum(len(html) for _, html in newer)

    def _grow(self, text: str, thoughts: str, last: bool) -> tuple[list[str], list[str]]:
        for stream, more in ((self._blocks, text), (self._thought_blocks, thoughts)):
            if more:
                stream.feed(more)
            if last:
                stream.finish()
        return self._blocks.blocks, self._thought_blocks.blocks
