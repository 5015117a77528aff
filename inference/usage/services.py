"""What is written of usage: rows, and in the same transaction the sums of their days."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from inference.keys.models import ApiKey
from inference.store.names import LONGEST_NAME
from inference.usage.meter import Measured
from inference.usage.models import UsageDay, UsageRecord

# Whoever else writes waits for no more than this many.
SWEPT_AT_ONCE = 500
Sums = dict[str, int]


@transaction.atomic
def usage_write(measured: Sequence[Measured]) -> None:
    """Store each request and add it to its day. Users and keys that have gone become nobody."""
    users = _there(User, {row.who.user for row in measured})
    keys = _there(ApiKey, {row.who.key for row in measured})
    records = [_record(row, users, keys) for row in measured]
    UsageRecord.objects.bulk_create(records)
    sums: dict[tuple[Any, ...], Sums] = defaultdict(lambda: defaultdict(int))
    for record in records:
        _add(sums[_group(record)], record)
    # In one order everywhere: two that add to the same days in two orders would wait for each other.
    for group, added in sorted(sums.items(), key=lambda item: repr(item[0])):
        _add_to_day(dict(zip(_GROUP, group, strict=True)), added)


def usage_sweep() -> int:
    """Forget the requests that are older than the settings say, a few at a time; says how many.

    The sums of their days stay: pages and charts read nothing else.
    """
    if not settings.USAGE_DAYS:
        return 0
    old = UsageRecord.objects.filter(created__lt=timezone.now() - timedelta(days=settings.USAGE_DAYS))
    count = 0
    while keys := list(old.order_by("created").values_list("pk", flat=True)[:SWEPT_AT_ONCE]):
        count += UsageRecord.objects.filter(pk__in=keys).delete()[0]
    return count


def _there(model: Any, wanted: set[int | None]) -> set[int]:
    """Which of the primary keys ``wanted`` there are."""
    return set(model.objects.filter(pk__in=wanted - {None}).values_list("pk", flat=True))


def _record(row: Measured, users: set[int], keys: set[int]) -> UsageRecord:
    return UsageRecord(
        created=row.created,
        kind=row.kind,
        provider=row.provider,
        model=row.model[:LONGEST_NAME],
        alias=row.alias[:LONGEST_NAME],
        user_id=row.who.user if row.who.user in users else None,
        key_id=row.who.key if row.who.key in keys else None,
        source=row.who.source,
        prompt_tokens=row.usage.prompt,
        cached_tokens=row.usage.cached,
        completion_tokens=row.usage.completion,
        first_token_ns=row.first_token_ns,
        duration_ns=row.duration_ns,
        outcome=row.outcome,
        code=row.code,
    )


_GROUP = ("day", "provider", "model", "alias", "user_id", "key_id", "source")


def _group(record: UsageRecord) -> tuple[Any, ...]:
    return (record.created.date(), *(getattr(record, name) for name in _GROUP[1:]))


def _add(sums: Sums, record: UsageRecord) -> None:
    sums["requests"] += 1
    sums["cancelled"] += record.outcome == "cancelled"
    sums["failed"] += record.outcome == "failed"
    for name in ("prompt_tokens", "cached_tokens", "completion_tokens", "duration_ns"):
        sums[name] += getattr(record, name)
    if record.first_token_ns is not None:
        sums["first_tokens"] += 1
        sums["first_token_ns"] += record.first_token_ns


def _add_to_day(group: dict[str, Any], sums: Sums) -> None:
    found = UsageDay.objects.filter(**{name: value for name, value in group.items() if value is not None})
    found = found.filter(**{f"{name}__isnull": True for name, value in group.items() if value is None})
    first = found.values_list("pk", flat=True).order_by("pk").first()
    if first is None:
        UsageDay.objects.create(**group, **sums)
    else:
        changes = {name: F(name) + value for name, value in sums.items()}
        UsageDay.objects.filter(pk=first).update(**changes)
