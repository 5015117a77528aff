"""What is cleaned up once a day while the server runs, each by the service that knows how."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from importlib import import_module

from django.conf import settings
from django.db import DatabaseError, connections

from conversations.attachments import attachments_sweep
from conversations.services import turns_sweep
from inference.usage.services import usage_sweep

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 24 * 3600.0


def sessions_sweep() -> None:
    """Forget the log-ins that have expired."""
    import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()


SWEEPS: Mapping[str, Callable[[], object]] = {
    "Answers": turns_sweep,
    "Uploads": attachments_sweep,
    "Usage": usage_sweep,
    "Sessions": sessions_sweep,
}


def sweep_daily() -> None:
    """Sweep now, and then once a day, in a thread that ends with the process."""
    threading.Thread(target=_sweep_for_ever, name="sweeps", daemon=True).start()


def _sweep_for_ever() -> None:
    sweep()
    while not threading.Event().wait(SWEEP_SECONDS):
        sweep()


def sweep() -> None:
    """Every sweep once; one that fails keeps no other from its work."""
    for name, clean in SWEEPS.items():
        try:
            clean()
        except (OSError, DatabaseError):
            logger.exception("%s could not be cleaned up. It is tried again in a day.", name)
        finally:
            connections.close_all()
