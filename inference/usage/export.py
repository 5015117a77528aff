"""Usage as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet

from inference.usage.models import UsageDay
from inference.usage.selectors import SUMMED

COLUMNS = (
    *("day", "provider", "model", "alias", "user__username", "key__name", "key__prefix", "source"),
    *SUMMED,
)
_CALLED = {"user__username": "user", "key__name": "key", "key__prefix": "key_prefix"}
HEADINGS = tuple(_CALLED.get(column, column) for column in COLUMNS)
# What a spreadsheet would take for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def usage_csv(rows: QuerySet[UsageDay]) -> Iterator[str]:
    """A line for each of ``rows``, the oldest first, after one of headings; times in nanoseconds."""
    yield _line(HEADINGS)
    for row in rows.order_by("day", "pk").values_list(*COLUMNS).iterator(chunk_size=2000):
        yield _line(row)


def _line(values: tuple[Any, ...]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow([_cell(value) for value in values])
    return line.getvalue()


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
