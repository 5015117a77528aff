"""A thread that writes usage, so that no answer waits for the database.

Rows wait in a bounded queue and are written a batch at a time. Nothing is written, and nothing
kept, outside of ``running``: only processes that mean to count have the thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING

from django.db import DatabaseError, InterfaceError, close_old_connections, connections

if TYPE_CHECKING:
    from inference.usage.meter import Measured

logger = logging.getLogger(__name__)

MOST_WAITING = 20_000
BATCH = 500
PAUSE_SECONDS = 0.2
ATTEMPTS = 5
FLUSH_SECONDS = 10.0


class Recorder:
    """Takes rows from any thread or event loop, and writes them from its own."""

    def __init__(self, most_waiting: int = MOST_WAITING) -> None:
        self._queue: Queue[Measured | None] = Queue(most_waiting)
        self._thread: threading.Thread | None = None
        self._watchers: list[Callable[[Measured], None]] = []

    def watch(self, watcher: Callable[[Measured], None]) -> None:
        """Show every row to ``watcher`` as it comes, which must not wait for anything."""
        self._watchers.append(watcher)

    def put(self, row: Measured) -> None:
        """Have ``row`` written soon."""
        for watcher in self._watchers:
            watcher(row)
        if self._thread is None:
            return
        try:
            self._queue.put_nowait(row)
        except Full:
            logger.warning("Usage cannot be written as fast as it comes: a request was not counted.")

    @contextmanager
    def running(self) -> Iterator[None]:
        """Rows are taken inside; all are written before this is left."""
        self._thread = threading.Thread(target=self._write_all, name="usage", daemon=True)
        self._thread.start()
        try:
            yield
        finally:
            thread, self._thread = self._thread, None
            with suppress(Full):
                self._queue.put(None, timeout=FLUSH_SECONDS)
            thread.join(FLUSH_SECONDS)

    def _write_all(self) -> None:
        try:
            while rows := self._next():
                self._write_these([row for row in rows if row is not None])
                if rows[-1] is None:
                    break
                time.sleep(PAUSE_SECONDS if self._queue.qsize() < BATCH else 0)
        finally:
            connections.close_all()

    def _next(self) -> list[Measured | None]:
        """Waits for a row; that row and those behind it, up to a batch or the end."""
        rows = [self._queue.get()]
        while rows[-1] is not None and len(rows) < BATCH:
            try:
                rows.append(self._queue.get_nowait())
            except Empty:
                break
        return rows

    def _write_these(self, measured: list[Measured]) -> None:
        """Write ``measured``; a row that cannot be written, whatever is wrong with it, is left out."""
        try:
            self._write(measured)
        except Exception:
            if len(measured) == 1:
                logger.exception("A request was not counted.")
                return
            for row in measured:
                self._write_these([row])

    @staticmethod
    def _write(measured: list[Measured]) -> None:
        from inference.usage.services import usage_write

        if not measured:
            # Not even a look at the database, which somebody may keep locked, holds the end up.
            return
        for attempt in range(ATTEMPTS):
            close_old_connections()
            try:
                usage_write(measured)
            except (DatabaseError, InterfaceError):
                logger.warning("Usage could not be written, attempt %d.", attempt + 1, exc_info=True)
                connections.close_all()
                time.sleep(PAUSE_SECONDS * 2**attempt)
            else:
                return
        logger.error("%d requests were not counted.", len(measured))


RECORDER = Recorder()
