"""Files that clients send one by one, named by their SHA-256, until a model is made of them.

A blob is complete or not there. Blobs lie in the store under a name that no model can have, and go
away a day after they were sent. Knows nothing of what is in them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Iterator
from io import BufferedWriter
from pathlib import Path

from django.conf import settings

from inference.errors import InvalidRequest, NotFound, TooLarge
from inference.store.drafts import room_check, scratch_folder
from inference.store.errors import disk_errors

FOLDER = ".blobs"
KEPT_SECONDS = 24 * 3600.0
# How much is written between two looks at how much room is left.
CHECKED_BYTES = 32 * 2**20
_DIGEST = re.compile(r"sha256[:-](?P<hex>[0-9a-f]{64})")


def blob_path(digest: str) -> Path:
    """Where the blob called ``sha256:…`` lies, or would lie. ``InvalidRequest`` for no such name."""
    match = _DIGEST.fullmatch(digest)
    if not match:
        raise InvalidRequest("invalid digest format")
    return Path(settings.MODELS_PATH, FOLDER, match["hex"])


def blob_find(digest: str) -> Path:
    """Where that blob lies. ``NotFound`` if it was not sent."""
    path = blob_path(digest)
    if not path.is_file():
        raise NotFound(f"blob '{digest}' not found: send it first")
    return path


def blob_has(digest: str) -> bool:
    """Whether that blob is here; if it is, it stays for another day."""
    path = blob_path(digest)
    if path.is_file():
        os.utime(path)
        return True
    return False


@contextlib.contextmanager
def blob_draft(*, digest: str, size: int) -> Iterator[BlobDraft]:
    """A blob to be written, of ``size`` bytes as far as is known; without ``finish`` nothing is kept.

    ``DiskFull`` where it does not fit.
    """
    final = blob_path(digest)
    with disk_errors():
        _prune(final.parent)
        room_check(final.parent, size)
        with scratch_folder(final.parent) as scratch:
            draft = scratch / final.name
            draft.touch(mode=0o600)
            with draft.open("wb") as file:
                yield BlobDraft(file, final)


class BlobDraft:
    """A blob that is being written. Slow: for a thread."""

    def __init__(self, file: BufferedWriter, final: Path) -> None:
        self._file, self._final = file, final
        self._digest = hashlib.sha256()
        self._size = self._checked = 0

    def write(self, data: bytes) -> None:
        """Add ``data``. ``TooLarge`` and ``DiskFull`` where it has become too much."""
        self._size += len(data)
        if self._size > settings.MAX_BLOB:
            raise TooLarge(f"At most {settings.MAX_BLOB} bytes are taken; HUGWEB_MAX_BLOB says so.")
        with disk_errors():
            if self._size - self._checked > CHECKED_BYTES:
                self._checked = self._size
                # Others may be filling the disk as well, and not everybody says how much will come.
                room_check(self._final.parent, 0)
            self._digest.update(data)
            self._file.write(data)

    def finish(self) -> None:
        """Keep what was written. ``InvalidRequest`` if its SHA-256 is not that of its name."""
        if (got := self._digest.hexdigest()) != self._final.name:
            raise InvalidRequest(f'digest mismatch, expected "sha256:{self._final.name}", got "sha256:{got}"')
        with disk_errors():
            self._file.flush()
            Path(self._file.name).replace(self._final)


def _prune(folder: Path) -> None:
    """Delete what nobody has made a model of for a day."""
    if folder.is_dir():
        for file in folder.iterdir():
            if file.is_file() and time.time() - file.stat().st_mtime > KEPT_SECONDS:
                file.unlink(missing_ok=True)
