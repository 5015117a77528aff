"""Tables for commands: columns side by side, as wide as they need to be where nobody looks."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDE = 1000


def table_text(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The rows under their columns; in a terminal long cells are folded."""
    table = Table(box=None, pad_edge=False, header_style="")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    text = io.StringIO()
    width = Console().width if sys.stdout.isatty() else WIDE
    Console(file=text, width=width, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def age_text(moment: datetime | None) -> str:
    """How long ago something was: ``3 days ago``, ``never``."""
    if moment is None:
        return "never"
    seconds = max(0.0, (datetime.now(UTC) - moment).total_seconds())
    for unit, size in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if count := int(seconds // size):
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return "just now"
