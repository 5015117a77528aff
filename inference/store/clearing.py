"""Frees disk space: models of the Hub's cache, and what broken pulls left behind.

Knows nothing of who holds a model: whoever calls has asked.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from pathlib import Path

from django.conf import settings

from inference.models import ModelRecord
from inference.store.errors import disk_errors
from inference.store.inventory import Item
from inference.store.lease import leases_sweep
from inference.store.services import model_delete

# A draft is locked a moment after it was made.
YOUNGEST_SECONDS = 60


def item_clear(item: Item) -> None:
    """Delete a model with all its revisions, and its row."""
    if item.record:
        model_delete(record=item.record, held_by=())
    if item.source == ModelRecord.Source.HUB:
        with disk_errors(), contextlib.suppress(FileNotFoundError):
            shutil.rmtree(item.folder)


def leftovers_sweep() -> None:
    """Delete what processes that are dead left: drafts of models, and leases of pulls."""
    leases_sweep(settings.HOME / "pulls")
    for pattern in (".scratch.*", "*/.*"):
        for folder in Path(settings.MODELS_PATH).glob(pattern):
            if folder.is_dir() and time.time() - folder.stat().st_mtime > YOUNGEST_SECONDS:
                _sweep(folder)


def _sweep(draft: Path) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(draft, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(draft)
            if draft.parent != Path(settings.MODELS_PATH):
                draft.parent.rmdir()
        finally:
            os.close(descriptor)
