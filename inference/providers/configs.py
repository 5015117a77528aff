"""What is set of the providers: which are enabled, and which one answers where several could.

Read from the database each time, so that a change is in force for the next request in every process.
"""

from __future__ import annotations

from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from inference.errors import ProviderDisabled
from inference.models import ModelRecord, ProviderConfig
from inference.providers.registry import PROVIDERS


def providers_configured() -> list[ProviderConfig]:
    """The row of every provider there is, the highest priority first; rows that are missing are made."""
    rows = ProviderConfig.objects.filter(name__in=PROVIDERS)
    if len(found := list(rows)) == len(PROVIDERS):
        return found
    ProviderConfig.objects.bulk_create(map(_new, PROVIDERS), ignore_conflicts=True)
    return list(rows.all())


def _new(name: str) -> ProviderConfig:
    return ProviderConfig(name=name)


def providers_off() -> frozenset[str]:
    """The providers that take no requests."""
    return frozenset(ProviderConfig.objects.filter(enabled=False).values_list("name", flat=True))


def provider_check(name: str) -> None:
    """``ProviderDisabled`` where that provider takes no requests."""
    if name in providers_off():
        raise ProviderDisabled.named(name)


def models_offered() -> QuerySet[ModelRecord]:
    """The models of the providers that are enabled."""
    off = ProviderConfig.objects.filter(enabled=False)
    return ModelRecord.objects.exclude(provider__in=off.values("name"))


def models_preferred(records: QuerySet[ModelRecord]) -> QuerySet[ModelRecord]:
    """``records`` of enabled providers first, then those of the highest priority."""
    config = ProviderConfig.objects.filter(name=OuterRef("provider"))
    return records.order_by(
        Exists(config.filter(enabled=False)), Coalesce(Subquery(config.values("priority")), 0).desc(), "pk"
    )
