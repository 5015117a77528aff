"""What is read of usage: always sums of days, never a scan of all requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from django.contrib.auth.models import User
from django.db.models import F, QuerySet, Sum
from django.utils import timezone

from inference.keys.models import key_label
from inference.usage.models import UsageDay

By = Literal["day", "model", "alias", "user__username", "key", "source", "provider"]
SUMMED = (
    *("requests", "cancelled", "failed", "prompt_tokens", "cached_tokens", "completion_tokens"),
    *("duration_ns", "first_tokens", "first_token_ns"),
)


@dataclass(frozen=True)
class Sums:
    """The sums of one group; ``name`` is what it was grouped by."""

    name: Any
    requests: int = 0
    cancelled: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    duration_ns: int = 0
    first_tokens: int = 0
    first_token_ns: int = 0

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @property
    def first_token_seconds(self) -> float | None:
        """Mean time to the first token."""
        return self.first_token_ns / self.first_tokens / 1e9 if self.first_tokens else None

    @property
    def seconds(self) -> float | None:
        """Mean time of a request."""
        return self.duration_ns / self.requests / 1e9 if self.requests else None


def usage_days(*, days: int, user: User | None = None) -> QuerySet[UsageDay]:
    """The rows of the last ``days`` days, today included; of everybody, or of ``user``."""
    since = timezone.now().date() - timedelta(days=days - 1)
    rows = UsageDay.objects.filter(day__gte=since).order_by()
    return rows.filter(user=user) if user else rows


def tokens_today(*, key: int) -> int:
    """Tokens that were read and written for a key since midnight, UTC, in answers that have ended."""
    rows = UsageDay.objects.filter(day=datetime.now(UTC).date(), key=key).order_by()
    return rows.aggregate(tokens=Sum(F("prompt_tokens") + F("completion_tokens")))["tokens"] or 0


def usage_by(rows: QuerySet[UsageDay], by: By, *, most: int = 50) -> list[Sums]:
    """The sums of ``rows`` by one of their fields, the busiest first."""
    fields = ("key__name", "key__prefix") if by == "key" else (by,)
    grouped = rows.values(*fields).annotate(**{f"sum_{name}": Sum(name) for name in SUMMED})
    found = grouped.order_by("-sum_requests", *fields)[:most]
    return [_sums(_key(row) if by == "key" else row[by], row) for row in found]


def _key(row: dict[str, Any]) -> str | None:
    return key_label(row["key__name"], row["key__prefix"]) if row["key__prefix"] else None


def usage_by_day(rows: QuerySet[UsageDay], *, days: int) -> list[Sums]:
    """The sums of each of the last ``days`` days, the oldest first; days without any are there too."""
    found = {sums.name: sums for sums in usage_by(rows, "day", most=days)}
    today = timezone.now().date()
    wanted: Sequence[date] = [today - timedelta(days=back) for back in range(days - 1, -1, -1)]
    return [found.get(day, Sums(day)) for day in wanted]


def usage_total(rows: QuerySet[UsageDay]) -> Sums:
    """The sums of all ``rows``."""
    return _sums("all", rows.aggregate(**{f"sum_{name}": Sum(name) for name in SUMMED}))


def _sums(name: Any, row: dict[str, Any]) -> Sums:
    return Sums(name, **{field: row[f"sum_{field}"] or 0 for field in SUMMED})
