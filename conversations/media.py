"""The files of attachments: one each, in ``media`` under the home, named by the attachment's id.

Knows nothing of the database but the ids.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Container
from pathlib import Path
from uuid import UUID

from django.conf import settings

# A file is written before its row is there to be seen.
YOUNG_SECONDS = 3600


def _folder() -> Path:
    return Path(settings.HOME) / "media"


def _path(attachment: UUID) -> Path:
    return _folder() / attachment.hex


def media_write(attachment: UUID, data: bytes) -> None:
    """Store ``data``, whole or not at all; ``OSError`` where the disk is full."""
    _folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = _folder() / f".{secrets.token_hex(8)}"
    try:
        draft.touch(mode=0o600, exist_ok=False)
        draft.write_bytes(data)
        draft.replace(_path(attachment))
    finally:
        draft.unlink(missing_ok=True)


def media_read(attachment: UUID) -> bytes:
    """The file of an attachment; ``FileNotFoundError`` if somebody took it away."""
    return _path(attachment).read_bytes()


def media_remove(attachment: UUID) -> None:
    """Delete the file of an attachment, if it is there."""
    _path(attachment).unlink(missing_ok=True)


def media_sweep(kept: Container[str]) -> int:
    """Delete the files that are not in ``kept``, by the hex form of their ids, and say how many."""
    if not _folder().is_dir():
        return 0
    youngest = time.time() - YOUNG_SECONDS
    gone = [
        file
        for file in _folder().iterdir()
        if file.name not in kept and file.is_file() and file.stat().st_mtime < youngest
    ]
    for file in gone:
        file.unlink(missing_ok=True)
    return len(gone)
