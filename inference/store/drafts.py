"""A model's files while they are being brought together, out of everybody's sight.

A draft lies beside its final place, under a name that no model can have, and is gone afterwards
whatever happens. Knows nothing of what is in the files.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from inference.store.errors import DiskFull

MARGIN = 64 * 2**20


@contextlib.contextmanager
def draft_folder(final: Path) -> Iterator[Path]:
    """A new folder beside ``final``, deleted at the end unless it was moved there."""
    final.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with scratch_folder(final.parent, f".{final.name}.") as draft:
            yield draft
    finally:
        with contextlib.suppress(OSError):
            final.parent.rmdir()


@contextlib.contextmanager
def scratch_folder(parent: Path, prefix: str = ".scratch.") -> Iterator[Path]:
    """A new folder in ``parent`` that only its owner can enter, deleted at the end.

    It is locked as long as this process lives, so that others can tell what was left behind.
    """
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield folder
    finally:
        os.close(descriptor)
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def discarding(final: Path) -> Iterator[None]:
    """Put ``final`` out of sight, and delete it at the end; after an error it is there again."""
    discarded = final.with_name(f".{final.name}.{secrets.token_hex(4)}")
    with contextlib.suppress(FileNotFoundError):
        final.rename(discarded)
    try:
        yield
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            discarded.rename(final)
        raise
    shutil.rmtree(discarded, ignore_errors=True)
    with contextlib.suppress(OSError):
        final.parent.rmdir()


def room_check(folder: Path, size: int) -> None:
    """``DiskFull`` unless ``size`` more bytes fit where ``folder`` is or will be."""
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(existing).free
    if free < size + MARGIN:
        raise DiskFull(
            f"The model takes {size / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free. Make room, or set "
            "HUGGINGFACE_MODELS_PATH (for the Hub's cache: HF_HOME) to a folder on a larger disk."
        )
