"""Markdown that is still being written: closed blocks are rendered once, the open one again.

A block is closed when another one has begun on a complete line: from there on, nothing that
follows can change it. Knows nothing of who writes the text and who reads the blocks.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from conversations.markdown import BLOCK_SECONDS, Block, normalize, parse_blocks, render_block


class BlockStream:
    """Feed it text in pieces; ``blocks`` is what ``render_blocks`` makes of all of it."""

    def __init__(self) -> None:
        self.closed: list[str] = []
        self._open: list[str] = []
        self._tail = ""
        self._held = ""
        self._slow: set[int] = set()

    @property
    def blocks(self) -> list[str]:
        """The HTML of every block; the last ones may still change."""
        return self.closed + self._open

    def feed(self, text: str) -> None:
        """Take in more text."""
        text = self._held + text
        # Half of a line end that a piece was cut through.
        self._held = "\r" if text.endswith("\r") else ""
        self._take(normalize(text.removesuffix(self._held)))

    def finish(self) -> None:
        """Nothing more will come."""
        held, self._held = self._held, ""
        self._take(normalize(held))

    def _take(self, text: str) -> None:
        self._tail += text
        if "\n" in text:
            self._close_blocks()
        self._open = self._rendered(list(parse_blocks(self._tail)))

    def _close_blocks(self) -> None:
        """Move all but the last block of the complete lines to the closed ones."""
        complete = self._tail[: self._tail.rfind("\n") + 1]
        blocks = list(parse_blocks(complete))
        if len(blocks) > 1:
            self.closed += self._rendered(blocks[:-1])
            self._tail = "\n".join(self._tail.split("\n")[blocks[-1].line :])

    def _rendered(self, blocks: Sequence[Block]) -> list[str]:
        """``blocks`` after the closed ones as HTML. One that took too long is not tried again."""
        first = len(self.closed)
        return [self._render(block, place) for place, block in enumerate(blocks, first)]

    def _render(self, block: Block, place: int) -> str:
        if place in self._slow:
            return render_block(block, until=0)
        began = time.thread_time()
        html = render_block(block)
        if time.thread_time() - began > BLOCK_SECONDS:
            self._slow.add(place)
        return html
