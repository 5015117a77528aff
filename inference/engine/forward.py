"""What the scheduler asks of a model: forward passes over slots, and tokens drawn from their logits.

Only what logits can be asked is said here, so the scheduler runs on torch's tensors as on a test's numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from inference.engine.logprobs import Score
from inference.engine.row import Row


class Rows(Protocol):
    """Logits of several rows or tokens, from which some can be taken."""

    def __getitem__(self, index: slice, /) -> Any: ...


Logits = TypeVar("Logits", bound=Rows)
Made = TypeVar("Made", covariant=True)
Read = TypeVar("Read", contravariant=True)


class Forward(Protocol[Made]):
    """The model's forward passes over slots of keys and values."""

    slots: int
    context: int
    """Tokens that each slot has room for."""
    rewinds: bool
    """Whether a slot can go back to an earlier token and go on from there."""
    provisional: bool
    """Whether its weights are still to be made smaller."""

    @property
    def bytes_per_token(self) -> int:
        """Memory that a token of one slot takes; 0 where it is not known."""

    @property
    def manner(self) -> str:
        """How the model is run, for people."""

    def read(
        self, slot: int, start: int, tokens: Sequence[int], *, every: bool = False, media: Any = None
    ) -> Made:
        """Read ``tokens`` at ``start`` of ``slot``; the logits after the last, ``[1, vocabulary]``, or after
        ``every`` one, ``[tokens, vocabulary]``. ``media`` is what the prompt holds besides text."""

    def decode(self, slots: Sequence[int], positions: Sequence[int], tokens: Sequence[int]) -> Made:
        """One token for each of ``slots``, in rising order; the logits: ``[rows, vocabulary]``."""

    def copy(self, source: int, target: int, count: int) -> None:
        """Make the first ``count`` tokens of slot ``target`` those of slot ``source``."""

    def prepare(self, *, idle: bool) -> bool:
        """Between steps: make something ready that later ones go faster with; ``idle``: nobody waits. Whether
        there was anything."""


class Sampler(Protocol[Read]):
    """Draws the next token of each row from its logits."""

    def draw(self, logits: Read, rows: Sequence[Row]) -> list[int | None]:
        """One token for each of ``rows``; ``None`` for a row whose logits are no numbers."""

    def score(
        self, logits: Read, tokens: Sequence[int | None], counts: Sequence[int | None]
    ) -> list[Score | None]:
        """How likely each of ``tokens`` is, by ``logits`` ``[tokens, vocabulary]``, and its so many likeliest
        rivals; ``None`` where nothing is asked."""
