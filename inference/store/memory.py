"""Notes in a model's row how much memory its load took."""

from __future__ import annotations

import logging

from django.db import DatabaseError

from inference.protocol import ModelRef
from inference.store.records import records_at

logger = logging.getLogger(__name__)


def memory_note(*, model: ModelRef, memory: int) -> None:
    """Note that ``model`` took ``memory`` bytes as it is. Never fails: answers do not depend on it."""
    if (model.quantization, model.dtype, model.device) != ("none", "auto", "auto"):
        return
    try:
        records_at(model.path).update(memory=memory)
    except DatabaseError:
        logger.warning("What %s takes in memory could not be noted.", model.name, exc_info=True)
