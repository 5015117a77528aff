"""What there is to say about a pull: how far it is, or how it ended.

State, not a log: whoever comes later, in this process or another one, reads the latest and knows
everything. Knows nothing of who pulls and of who asks.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Step = Literal["asking", "fetching", "checking", "converting"]


class FileProgress(Struct, frozen=True):
    """One file: bytes that it has, and bytes that are here. ``sha256`` where the Hub tells it."""

    name: str
    size: int
    done: int = 0
    sha256: str = ""


class Progress(Struct, frozen=True, tag="progress"):
    """A pull on its way. ``speed`` is in bytes per second, ``note`` a sentence for people."""

    step: Step = "asking"
    files: tuple[FileProgress, ...] = ()
    speed: float = 0.0
    note: str = ""

    @property
    def total(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def done(self) -> int:
        return sum(file.done for file in self.files)

    @property
    def seconds_left(self) -> float | None:
        """``None`` while nothing arrives."""
        return (self.total - self.done) / self.speed if self.speed > 0 else None


class Pulled(Struct, frozen=True, tag="pulled"):
    """The model is on this machine. ``left_out`` are the files that were not taken."""

    name: str
    kind: str
    runs: bool
    left_out: tuple[str, ...] = ()


class PullFailed(Struct, frozen=True, tag="failed"):
    """An error of the tree, by its code."""

    code: str
    message: str


PullEnding = Pulled | PullFailed
PullState = Progress | PullEnding
