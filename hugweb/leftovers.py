"""What the last server of a home left unfinished, which the next one marks at once.

Several servers may share a database, each in a home of its own. Whoever holds the home's lock knows that the
server before it there is gone, however it ended; of others it only knows when they were last heard of.
"""

from __future__ import annotations

import logging
from pathlib import Path

from conversations.services import WRITER, turns_sweep

logger = logging.getLogger(__name__)


def leftovers_mark(home: Path) -> None:
    """Mark the answers of the last server of ``home``, which is locked, and note who is the next."""
    note = home / "writer"
    try:
        before = note.read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        before = ""
    turns_sweep(gone=before)
    try:
        note.write_text(WRITER, encoding="ascii")
    except OSError:
        # Its answers are then marked a minute after it was last heard of.
        logger.warning("It could not be noted in the home which server runs.", exc_info=True)
