"""The contract of a reader of answers."""

from __future__ import annotations

from typing import Protocol

from inference.protocol import Piece


class AnswerReader(Protocol):
    """Reads one answer as it is written, and tells its parts apart.

    Text arrives in whole characters, cut anywhere; what may be the beginning of a tag is held back. The
    pieces that come out say nothing of tokens, logprobs and samples: the ``AnswerWriter`` fills these in.
    Nothing that a model writes is an error: what cannot be read is text.
    """

    @property
    def ended(self) -> bool:
        """Whether the answer holds all that it may hold: nothing more is wanted."""

    def push(self, text: str) -> list[Piece]:
        """The pieces that ``text`` completes."""

    def finish(self) -> list[Piece]:
        """What was held back, now that no more text comes."""
