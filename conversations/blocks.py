"""Markdown that is still being written: closed blocks are rendered once, the open one again.

A block is closed when another one has begun on a complete line: from there on, nothing that
follows can change it. Knows nothing of who writes the text and who reads the blocks.
"""

from __future__ import annotations

from conversations.markdown import normalize, parse_blocks, render_block


class BlockStream:
    """Feed it text in pieces; ``blocks`` is what ``render_blocks`` makes of all of it."""

    def __init__(self) -> None:
        self.closed: list[str] = []
        self._open: list[str] = []
        self._tail = ""
        self._held = ""

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
        self._open = [render_block(block) for block in parse_blocks(self._tail)]

    def _close_blocks(self) -> None:
        """Move all but the last block of the complete lines to the closed ones."""
        complete = self._tail[: self._tail.rfind("\n") + 1]
        blocks = list(parse_blocks(complete))
        if len(blocks) > 1:
            self.closed += [render_block(block) for block in blocks[:-1]]
            self._tail = "\n".join(self._tail.split("\n")[blocks[-1].line :])
