"""Who pulls a model: one process of this home at a time, and what it says while it does.

A lease is a locked file, so the system takes it back when its holder dies, however that comes. A
file beside it holds the holder's latest words; everybody else reads them. When the holder ends, both
are deleted. Whoever has waited still has the locked file open, and reads in it how the pull ended.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from inference.store.errors import disk_errors
from inference.store.progress import Progress, PullEnding, PullState

LONGEST_SLUG = 100


class Words(Struct, frozen=True):
    """What a holder says: how far it is or was, and how it ended."""

    progress: Progress = Progress()
    ending: PullEnding | None = None


class Lease:
    """The lease of ``key`` in ``folder``. Keeps its file open until it is closed."""

    def __init__(self, folder: Path, key: str) -> None:
        slug = re.sub(r"[^a-z0-9._-]", "--", key.lower())[:LONGEST_SLUG]
        name = f"{slug}.{hashlib.sha256(key.lower().encode()).hexdigest()[:8]}"
        self._lock = folder / f"{name}.lock"
        self._words = folder / f"{name}.json"
        self._draft = folder / f".{name}.json.{secrets.token_hex(8)}"
        self._keeper: FileIO | None = None
        self._said = Words()
        self._left: Words | None = None

    @contextlib.contextmanager
    def held(self) -> Iterator[bool]:
        """Hold the lease until the end, or ``False`` at once where another has it or has just ended."""
        if not self._take():
            yield False
            return
        try:
            yield True
        finally:
            self._leave()

    def say(self, state: PullState) -> None:
        """Tell the others, as far as the disk lets us: nothing depends on it."""
        change = {"progress": state} if isinstance(state, Progress) else {"ending": state}
        self._said = replace(self._said, **change)
        words = msgspec.json.encode(self._said)
        try:
            if self._said.ending and self._keeper:
                self._keeper.write(words)
            else:
                self._draft.write_bytes(words)
                self._draft.replace(self._words)
        except OSError:
            self._draft.unlink(missing_ok=True)

    def heard(self) -> Words | None:
        """What the holder said last: the one that has ended while this one waited, the one that holds it,
        or one that has died; ``None`` where nobody has said anything."""
        if self._left:
            return self._left
        with contextlib.suppress(OSError):
            return _decoded(self._words.read_bytes())
        return None

    def close(self) -> None:
        """Wait no longer."""
        if self._keeper:
            self._keeper.close()
            self._keeper = None

    def _take(self) -> bool:
        """Lock the file, which is the one that all others find."""
        while True:
            keeper = self._opened()
            try:
                fcntl.flock(keeper, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            if self._is_current(keeper.fileno()):
                keeper.truncate(0)
                return True
            # Whoever held it before has deleted the file that was locked here.
            keeper.seek(0)
            self._left = _decoded(keeper.read())
            self.close()
            if self._left:
                return False

    def _opened(self) -> FileIO:
        if self._keeper is None:
            with disk_errors():
                self._lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._keeper = self._lock.open("a+b", buffering=0)
        return self._keeper

    def _is_current(self, descriptor: int) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(descriptor), self._lock.stat())
        return False

    def _leave(self) -> None:
        """Delete the files, while they are locked, and let go."""
        with contextlib.suppress(OSError):
            if self._keeper and self._is_current(self._keeper.fileno()):
                self._words.unlink(missing_ok=True)
                self._lock.unlink(missing_ok=True)
        self.close()


def _decoded(words: bytes) -> Words | None:
    with contextlib.suppress(msgspec.DecodeError):
        return msgspec.json.decode(words, type=Words)
    return None


def leases_sweep(folder: Path) -> None:
    """Delete what dead holders left in ``folder``."""
    for lock in folder.glob("*.lock"):
        with lock.open("a") as keeper, contextlib.suppress(BlockingIOError):
            fcntl.flock(keeper, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for path in (*folder.glob(f".{lock.stem}.*"), lock.with_suffix(".json"), lock):
                path.unlink(missing_ok=True)
