"""What the engine remembers from one run to the next: a small JSON file in the home.

Which models were loaded, so that they can be warmed, and how much memory each took. A file that is
missing or damaged is as good as an empty one.
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

import msgspec
from msgspec import Struct

from inference.protocol import ModelRef

logger = logging.getLogger(__name__)

MOST = 256


class Kept(Struct, frozen=True):
    """A model that was in memory, and for how many idle seconds it was to stay."""

    model: ModelRef
    keep_alive: float


class Measured(Struct, frozen=True):
    """Bytes of memory that a model took on a device, loaded in ``dtype``; ``stored`` are its files, to know
    them by."""

    path: str
    quantization: str
    device: str
    stored: int
    memory: int
    dtype: str = "auto"


class Notes(Struct, frozen=True):
    """All of the file."""

    loaded: tuple[Kept, ...] = ()
    measured: tuple[Measured, ...] = ()


class Notebook:
    """Keeps ``notes`` in the file at ``path``; with no path, in memory only."""

    def __init__(self, path: str = "") -> None:
        self._path = Path(path) if path else None
        self.notes = Notes()
        if self._path:
            with contextlib.suppress(OSError, msgspec.DecodeError):
                self.notes = msgspec.json.decode(self._path.read_bytes(), type=Notes)

    def note_loaded(self, loaded: tuple[Kept, ...]) -> None:
        """These models are in memory now."""
        if loaded != self.notes.loaded:
            self._write(msgspec.structs.replace(self.notes, loaded=loaded))

    def note_measured(self, measured: Measured) -> None:
        """A model took this much, whatever was noted before."""
        others = tuple(other for other in self.notes.measured if _same(other) != _same(measured))
        self._write(msgspec.structs.replace(self.notes, measured=(*others, measured)[-MOST:]))

    def memory(self, model: ModelRef, device: str, stored: int) -> int:
        """What ``model`` took when it was measured; 0 if it never was, or its files are others now."""
        wanted = (model.path, model.quantization, device, model.dtype)
        for measured in self.notes.measured:
            if _same(measured) == wanted and measured.stored == stored:
                return measured.memory
        return 0

    def _write(self, notes: Notes) -> None:
        self.notes = notes
        if not self._path:
            return
        draft = self._path.with_suffix(".draft")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft.write_bytes(msgspec.json.encode(notes))
            draft.replace(self._path)
        except OSError as error:
            # It is a convenience: answers do not depend on it.
            logger.warning("What is loaded cannot be remembered: %s.", error.strerror)


def _same(measured: Measured) -> tuple[str, str, str, str]:
    return measured.path, measured.quantization, measured.device, measured.dtype
