"""However an answer is cut into pieces, its blocks end up as if it had come whole."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from conversations import blocks, markdown
from conversations.blocks import BlockStream
from conversations.markdown import render_blocks

PIECES = [
    "a",
    "word ",
    "\n",
    "\n\n",
    "\r\n",
    "\r",
    "  ",
    "    ",
    "\t",
    "- ",
    "* ",
    "1. ",
    "2) ",
    "> ",
    "# ",
    "---\n",
    "===\n",
    "***",
    "```",
    "```python\n",
    "~~~\n",
    "|a|b|\n",
    "|-|-|\n",
    "a | b\n",
    "--|--",
    "`x`",
    "**",
    "~~",
    "[x](http://a)",
    "[x]: http://a\n",
    "<b>",
    "<!--",
    "\\",
    "\x0c",
    "\u2028",
    "\x00",
    "é",
    "🙂",
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)


def streamed(text: str, cuts: list[int]) -> list[str]:
    stream = BlockStream()
    edges = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    for start, end in pairwise(edges):
        stream.feed(text[start:end])
    stream.finish()
    return stream.blocks


@contextlib.contextmanager
def patient() -> Iterator[None]:
    """Where collecting a large process's garbage takes a moment, that counts as formatting."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (blocks, markdown):
            patch.setattr(module, "BLOCK_SECONDS", 60.0)
        patch.setattr(markdown, "TEXT_SECONDS", 60.0)
        yield


@settings(max_examples=600, deadline=None)
@given(TEXTS, st.lists(st.integers(min_value=0, max_value=10_000), max_size=12))
@example("text\na | b\n--|--x", [15])
@example("a\r\n\r\nb", [2, 3])
@example("- a\n\n  b\n\nc", [4, 7])
def test_pieces_make_the_same_blocks_as_the_whole(text: str, cuts: list[int]) -> None:
    with patient():
        assert streamed(text, cuts) == list(render_blocks(text))


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_one_character_at_a_time_makes_the_same_blocks(text: str) -> None:
    with patient():
        assert streamed(text, list(range(len(text)))) == list(render_blocks(text))


def test_a_block_that_took_too_long_is_not_tried_again() -> None:
    stream = BlockStream()
    stream.feed("[" * 50_000)
    started = time.thread_time()
    for _ in range(30):
        stream.feed("[")
    assert stream.blocks == [f"<p>{'[' * 50_030}</p>\n"]
    stream.feed("\n\n*Now*\n\nThen")
    assert stream.blocks[1:] == ["<p><em>Now</em></p>\n", "<p>Then</p>\n"]
    assert time.thread_time() - started < 3


def test_closed_blocks_are_rendered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[str] = []

    def counting(block: object) -> str:
        rendered.append("x")
        return "<p></p>"

    monkeypatch.setattr("conversations.blocks.render_block", counting)
    stream = BlockStream()
    for _ in range(100):
        stream.feed("A paragraph.\n\n")
    assert len(stream.blocks) == 100
    assert len(rendered) < 350
