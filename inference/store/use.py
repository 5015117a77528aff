"""Notes in a model's row when it was used, so that people see which ones nobody needs."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime

from django.db import DatabaseError

from inference.protocol import ModelRef
from inference.store.records import records_at

logger = logging.getLogger(__name__)

# Nobody asks for the second, and answers are many.
SPACING_SECONDS = 60.0

_noted: dict[str, float] = {}


def use_due(model: ModelRef) -> bool:
    """Whether it is a while since the use of ``model`` was noted by this process. Asks no database."""
    return time.monotonic() - _noted.get(model.path, -SPACING_SECONDS) >= SPACING_SECONDS


def use_note(*, model: ModelRef) -> None:
    """Note that ``model`` is used now. Never fails: answers do not depend on it."""
    _noted[model.path] = time.monotonic()
    try:
        records_at(model.path).update(last_used=datetime.now(UTC))
    except DatabaseError:
        logger.warning("When %s was used could not be noted.", model.name, exc_info=True)
