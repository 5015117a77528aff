"""The file of aliases that a setting names: read at the start, and again whenever it changes.

What it says is written to the database, so it is in force for the next request everywhere. A file that
is broken is refused whole, and the last good one stays in force.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import DatabaseError, connection

from aliases.backups import text_read
from aliases.exchange import aliases_import
from inference.errors import InferenceError

logger = logging.getLogger(__name__)

EVERY_SECONDS = 1.0
Mark = tuple[int, int, int]


class AliasFile:
    """Follows one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: Mark | None = None

    def check(self) -> bool:
        """Take the file in if it has changed since the last time; whether that was done."""
        mark = self._mark()
        if mark is None or mark == self._seen:
            return False
        self._seen = mark
        try:
            imported = aliases_import(text_read(self._path))
        except InferenceError as error:
            logger.error("The aliases of %s stay as they were: %s", self._path.name, error.message)  # noqa: TRY400
            return False
        logger.info("Took %d aliases from %s.", len(imported.names), self._path.name)
        if imported.left_out:
            logger.warning("Left out of %s: %s", self._path.name, ", ".join(imported.left_out))
        return True

    def _mark(self) -> Mark | None:
        """What tells one state of the file from another; None while there is no file."""
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return (stat.st_mtime_ns, stat.st_size, stat.st_ino)

    @contextmanager
    def followed(self) -> Iterator[None]:
        """The file is checked again and again inside, from a thread."""
        ended = threading.Event()
        thread = threading.Thread(target=self._follow, args=(ended,), name="aliases", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(EVERY_SECONDS)

    def _follow(self, ended: threading.Event) -> None:
        while not ended.wait(EVERY_SECONDS):
            try:
                self.check()
            except DatabaseError:
                self._seen = None
                logger.warning("The aliases of %s could not be stored yet.", self._path.name, exc_info=True)
            finally:
                connection.close()
