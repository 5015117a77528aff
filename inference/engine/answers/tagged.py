"""A reader for models that put thoughts, calls and what they say between marks: most of them."""

from __future__ import annotations

from collections.abc import Iterable

from inference.engine.answers.calls import Calls
from inference.engine.answers.thoughts import Thoughts
from inference.engine.answers.wrapped import Wrapping
from inference.protocol import Called, Piece, Text, Thought


class TaggedReader:
    """First thoughts are split off, then ``wrapping`` is taken off what is said, then calls are split off;
    each may be nothing that the answer can have."""

    def __init__(
        self, thoughts: Thoughts | None, calls: Calls | None, wrapping: Wrapping | None = None
    ) -> None:
        self._thoughts = thoughts
        self._wrapping = wrapping
        self._calls = calls

    @property
    def ended(self) -> bool:
        """Whether the answer holds all that it may hold."""
        return self._calls is not None and self._calls.ended

    def push(self, text: str) -> list[Piece]:
        """The pieces that ``text`` completes."""
        parts = self._thoughts.push(text) if self._thoughts else [text]
        return [piece for part in parts for piece in self._said(part)]

    def finish(self) -> list[Piece]:
        """What was held back, now that no more text comes."""
        parts = self._thoughts.finish() if self._thoughts else []
        said = [piece for part in parts for piece in self._said(part)]
        if self._wrapping:
            said += self._unwrapped(self._wrapping.finish())
        return said + list(self._calls.finish() if self._calls else [])

    def _said(self, part: Thought | str) -> Iterable[Text | Thought | Called]:
        if isinstance(part, Thought):
            return [part]
        return self._unwrapped(self._wrapping.push(part) if self._wrapping else part)

    def _unwrapped(self, text: str) -> Iterable[Text | Called]:
        return self._calls.push(text) if self._calls else [Text(text=text)] if text else []
