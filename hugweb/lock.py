"""One server per home: two would take each other's engine and end each other's turns."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path


class HomeInUse(Exception):
    """Another server runs in this home."""


@contextlib.contextmanager
def locked(home: Path) -> Iterator[None]:
    """Hold ``home``. The system lets go of it when the process ends, however that comes."""
    with Path(home, "serve.lock").open("w", encoding="ascii") as keeper:
        try:
            fcntl.flock(keeper, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise HomeInUse(
                f"Another server is running in {home}. Stop it, or give this one a HUGWEB_HOME of its own."
            ) from error
        yield
