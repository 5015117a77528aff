"""Files that clients send one by one, named by their SHA-256, until a model is made of them.

A blob is complete or not there. Blobs lie in the store under a name that no model can have, and go
away a day after they were sent. Knows nothing of what is in them.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings

from inference.errors import InvalidRequest, NotFound
from inference.store.drafts import room_check, scratch_folder
from inference.store.errors import disk_errors

FOLDER = ".blobs"
KEPT_SECONDS = 24 * 3600.0
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


def blob_write(*, digest: str, chunks: Iterable[bytes], size: int) -> bool:
    """Keep what ``chunks`` hold, about ``size`` bytes; ``False`` if it was there already.

    ``InvalidRequest`` if its SHA-256 is not the one in ``digest``; then nothing is kept.
    """
    final = blob_path(digest)
    if final.is_file():
        os.utime(final)
        return False
    with disk_errors():
        _prune(final.parent)
        room_check(final.parent, size)
        with scratch_folder(final.parent) as scratch:
            draft = scratch / final.name
            got = _write(draft, chunks)
            if got != final.name:
                raise InvalidRequest(f'digest mismatch, expected "{digest}", got "sha256:{got}"')
            draft.replace(final)
    return True


def _write(path: Path, chunks: Iterable[bytes]) -> str:
    """The SHA-256 of what was written, as hex."""
    digest = hashlib.sha256()
    path.touch(mode=0o600)
    with path.open("wb") as file:
        for chunk in chunks:
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def _prune(folder: Path) -> None:
    """Delete what nobody has made a model of for a day."""
    if folder.is_dir():
        for file in folder.iterdir():
            if file.is_file() and time.time() - file.stat().st_mtime > KEPT_SECONDS:
                file.unlink(missing_ok=True)
