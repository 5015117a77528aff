"""``manage.py list``."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from aliases.models import Alias
from inference.machine import Machine, machine_read
from inference.models import ModelRecord
from inference.store.popular import POPULAR, popular_fitting

pytestmark = pytest.mark.django_db
TOLD = StringIO()


@pytest.fixture(autouse=True)
def rows() -> None:
    Alias.objects.create(name="quick", model="ORG/tiny", quantization="int8", description="small")
    Alias.objects.create(name="lost", model="org/gone")
    ModelRecord.objects.create(
        name="org/tiny",
        source="store",
        folder="org/tiny",
        digest="0",
        size=270_000_000,
        parameters=135_000_000,
    )


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("list", *arguments, stdout=out, stderr=TOLD)
    return out.getvalue()


def as_json(*arguments: str) -> dict[str, list[dict[str, Any]]]:
    return json.loads(run("--json", *arguments))


def test_aliases_are_listed_with_what_they_stand_for() -> None:
    header, lost, quick = run().splitlines()
    assert header.split() == ["ALIAS", "MODEL", "LOADED", "SIZE", "DESCRIPTION"]
    assert "not here" in lost
    assert quick.split() == ["quick", "ORG/tiny", "in", "8", "bits", "270", "MB", "small"]
    assert list(as_json()) == ["aliases"]


def test_models_are_listed_on_demand() -> None:
    assert "135M" in run("--models")
    (model,) = as_json("--models")["models"]
    assert (model["name"], model["parameters"], model["size"]) == ("org/tiny", 135_000_000, 270_000_000)


def test_popular_models_that_fit_are_shown_unless_they_are_here() -> None:
    whole = machine_read()
    fitting = {model.name for model, _ in popular_fitting(replace(whole, free=whole.total))}
    assert {entry["name"] for entry in as_json("--all")["popular"]} == fitting
    ModelRecord.objects.create(name=min(fitting).upper(), source="hub", folder="/x", digest="0")
    assert {entry["name"] for entry in as_json("--all")["popular"]} == fitting - {min(fitting)}
    assert "search, very small" in run("--all")


def test_less_memory_means_fewer_bits_and_then_fewer_models() -> None:
    def fitting(gigabytes: float) -> dict[str, str | None]:
        machine = Machine("cpu", 2, 10**12, int(gigabytes * 10**9))
        return {model.name: fit.quantization for model, fit in popular_fitting(machine)}

    assert list(fitting(1000)) == [model.name for model in POPULAR]
    assert set(fitting(1000).values()) == {"none"}
    some = fitting(7)
    assert some["Qwen/Qwen2.5-Coder-1.5B-Instruct"] == "none"
    assert some["Qwen/Qwen3-4B"] == "int8"
    assert some["Qwen/Qwen3-8B"] == "int4"
    assert "Qwen/Qwen2.5-Omni-7B" not in some, "only text models are loaded in fewer bits"
    assert fitting(0) == {}


def test_a_model_that_does_not_fit_is_told() -> None:
    ModelRecord.objects.create(
        name="org/huge", source="store", folder="x", digest="0", dtype="BF16", parameters=10**15
    )
    found = {entry["name"]: entry["fits"] for entry in as_json("--models")["models"]}
    assert found == {"org/huge": False, "org/tiny": True}
    assert "no, needs " in run("--models")


def test_the_list_of_popular_models_holds_names_that_can_be_pulled() -> None:
    from inference.store.names import model_name_check

    for model in POPULAR:
        model_name_check(model.name)
    assert len({model.name.lower() for model in POPULAR}) == len(POPULAR)


def test_where_nothing_is_it_says_how_to_get_a_model() -> None:
    Alias.objects.all().delete()
    assert "pull starter" in run()
