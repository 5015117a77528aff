"""Notes in a model's row how much memory its load took."""

from __future__ import annotations

import logging
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError

from inference.models import ModelRecord
from inference.protocol import ModelRef

logger = logging.getLogger(__name__)


def memory_note(*, model: ModelRef, memory: int) -> None:
    """Note that ``model`` took ``memory`` bytes as it is. Never fails: answers do not depend on it."""
    if model.quantization != "none":
        return
    folder = Path(model.path)
    names = [str(folder)]
    if folder.is_relative_to(settings.MODELS_PATH):
        names.append(str(folder.relative_to(settings.MODELS_PATH)))
    try:
        ModelRecord.objects.filter(provider="huggingface", folder__in=names).update(memory=memory)
    except DatabaseError:
        logger.warning("What %s takes in memory could not be noted.", model.name, exc_info=True)
