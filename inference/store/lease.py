"""Who pulls a model: one process of this home at a time, and what it says while it does.

A lease is a locked file, so the system takes it back when its holder dies, however that comes. A
file beside it holds the holder's latest words; everybody else reads them.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from inference.store.errors import disk_errors
from inference.store.progress import Progress, PullEnding, PullState

LONGEST_SLUG = 100


class Words(Struct, frozen=True):
    """What a holder says: how far it is or was, and how it ended. ``holder`` is another one each time."""

    holder: str
    progress: Progress = Progress()
    ending: PullEnding | None = None


class Lease:
    """The lease of ``key`` in ``folder``."""

    def __init__(self, folder: Path, key: str) -> None:
        self._said = Words(secrets.token_hex(8))
        slug = re.sub(r"[^a-z0-9._-]", "--", key.lower())[:LONGEST_SLUG]
        name = f"{slug}.{hashlib.sha256(key.lower().encode()).hexdigest()[:8]}"
        self._lock = folder / f"{name}.lock"
        self._words = folder / f"{name}.json"

    @contextlib.contextmanager
    def held(self) -> Iterator[bool]:
        """Hold the lease until the end, or ``False`` at once where another process has it."""
        with disk_errors():
            self._lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            keeper = self._lock.open("a")
        with keeper:
            try:
                fcntl.flock(keeper, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                # Whoever held it before may have deleted the file that was locked here.
                yield self._is_current(keeper.fileno())

    def _is_current(self, descriptor: int) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(descriptor), self._lock.stat())
        return False

    def say(self, state: PullState) -> None:
        """Tell the others, as far as the disk lets us: nothing depends on it."""
        change = {"progress": state} if isinstance(state, Progress) else {"ending": state}
        self._said = replace(self._said, **change)
        draft = self._words.with_name(f".{self._words.name}.{self._said.holder}")
        try:
            draft.write_bytes(msgspec.json.encode(self._said))
            draft.replace(self._words)
        except OSError:
            draft.unlink(missing_ok=True)

    def heard(self) -> Words | None:
        """What the holder said last, or the one before; ``None`` where nobody has said anything."""
        try:
            return msgspec.json.decode(self._words.read_bytes(), type=Words)
        except (OSError, msgspec.DecodeError):
            return None


def leases_sweep(folder: Path) -> None:
    """Delete what dead holders left in ``folder``."""
    for lock in folder.glob("*.lock"):
        with lock.open("a") as keeper, contextlib.suppress(BlockingIOError):
            fcntl.flock(keeper, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for path in (*folder.glob(f".{lock.stem}.*"), lock.with_suffix(".json"), lock):
                path.unlink(missing_ok=True)
