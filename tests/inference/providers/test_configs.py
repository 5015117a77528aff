"""What is set of providers: rows by themselves, and who is asked where one is off or comes first."""

from __future__ import annotations

from typing import Any

import pytest

from aliases.models import Alias
from aliases.selectors import alias_resolve
from inference.errors import ProviderDisabled
from inference.models import ModelRecord, ProviderConfig
from inference.providers.configs import models_offered, providers_configured
from inference.providers.registry import PROVIDERS

pytestmark = pytest.mark.django_db


def model(name: str, provider: str = "huggingface") -> ModelRecord:
    return ModelRecord.objects.create(
        name=name, provider=provider, source="store", folder=name, architecture="llama", digest="0"
    )


def off(name: str = "huggingface") -> None:
    ProviderConfig.objects.update_or_create(name=name, defaults={"enabled": False})


def test_every_provider_has_a_row_when_it_is_asked_for(django_assert_num_queries: Any) -> None:
    ProviderConfig.objects.create(name="one that is no more")
    assert {row.name for row in providers_configured()} == set(PROVIDERS)
    assert all(row.enabled and row.priority == 0 for row in providers_configured())
    with django_assert_num_queries(1):
        providers_configured()


def test_what_a_provider_that_is_off_has_cannot_be_asked_nor_is_offered() -> None:
    record = model("org/model")
    assert alias_resolve("org/model").record == record
    off()
    with pytest.raises(ProviderDisabled, match="'huggingface' is switched off"):
        alias_resolve("org/model")
    assert not models_offered().exists()
    assert alias_resolve("org/model", to_ask=False).record == record


def test_an_alias_goes_to_a_fallback_of_another_provider() -> None:
    model("org/model")
    other = model("org/other", "elsewhere")
    Alias.objects.create(name="pal", model="org/model", fallbacks=["nowhere", "org/model", "org/other"])
    off()
    assert alias_resolve("pal").record == other
    off("elsewhere")
    with pytest.raises(ProviderDisabled, match="'huggingface'"):
        alias_resolve("pal")


def test_of_two_models_of_one_name_the_preferred_provider_s_answers() -> None:
    ours, theirs = model("org/model"), model("Org/Model", "elsewhere")
    assert alias_resolve("org/model").record == ours
    ProviderConfig.objects.create(name="elsewhere", priority=1)
    assert alias_resolve("org/model").record == theirs
    off("elsewhere")
    assert alias_resolve("org/model").record == ours
