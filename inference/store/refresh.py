"""Describes models again after HugWeb has learned to see more in their files.

A small file in the home says by which version its models were described, so that a start that has
nothing to do reads one number.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

from django.conf import settings

from inference.models import ModelRecord
from inference.store.description import model_describe
from inference.store.errors import ModelRefused
from inference.store.listing import folder_list

logger = logging.getLogger(__name__)

# To be raised whenever a model's description changes what is stored of it.
VERSION = 2
FILE = "described"


def models_refresh(report: Callable[[str], object]) -> None:
    """Bring what is known of all models up to date, if that was not done; ``report`` is told so."""
    marker = Path(settings.HOME, FILE)
    if _version(marker) >= VERSION:
        return
    records = list(ModelRecord.objects.all())
    if not records:
        return
    report("Looking at the models again …")
    for record in records:
        _refresh(record)
    marker.write_text(f"{VERSION}\n", encoding="ascii")


def _version(marker: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        return int(marker.read_text(encoding="ascii")[:16])
    return 0


def _refresh(record: ModelRecord) -> None:
    try:
        description = model_describe(folder_list(record.path))
    except (ModelRefused, OSError) as error:
        # Its files are not there, or no longer what they were: loading it will say more.
        logger.info("%s stays as it is described: %s", record.name, error)
        return
    ModelRecord.objects.filter(pk=record.pk).update(
        kind=description.kind.label,
        capabilities=list(description.capabilities),
        quantization=description.quantization,
    )
