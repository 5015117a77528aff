"""``manage.py list``."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from aliases.models import Alias
from inference.machine import machine_read
from inference.models import ModelRecord
from inference.store.popular import POPULAR, popular_fitting

pytestmark = pytest.mark.django_db


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
    call_command("list", *arguments, stdout=out, stderr=out)
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
    assert (model["fits"], model["needs"] >= 270_000_000) == ("none", True)


def test_a_model_that_is_too_large_says_so() -> None:
    ModelRecord.objects.update(parameters=10**15)
    assert "no, needs" in run("--models")
    assert as_json("--models")["models"][0]["fits"] is None


def test_popular_models_that_fit_are_shown_unless_they_are_here() -> None:
    shown = {entry["name"] for entry in as_json("--all")["popular"]}
    fitting = {model.name for model, _ in popular_fitting(machine_read().total)}
    assert shown == fitting
    ModelRecord.objects.create(name=min(shown).upper(), source="hub", folder="/x", digest="0")
    assert {entry["name"] for entry in as_json("--all")["popular"]} == shown - {min(shown)}
    assert "search, very small" in run("--all")


def test_less_memory_means_fewer_bits_and_then_fewer_models() -> None:
    plenty = dict(popular_fitting(10**12))
    assert list(plenty) == list(POPULAR)
    assert set(plenty.values()) == {"none"}
    some = {model.name: way for model, way in popular_fitting(8 * 10**9)}
    assert some["Qwen/Qwen3-4B"] == "int8"
    assert some["Qwen/Qwen3-8B"] == "int4"
    assert "Qwen/Qwen2.5-Omni-7B" not in some
    assert list(popular_fitting(0)) == []


def test_the_list_of_popular_models_holds_names_that_can_be_pulled() -> None:
    from inference.store.names import model_name_check

    for model in POPULAR:
        model_name_check(model.name)
    assert len({model.name.lower() for model in POPULAR}) == len(POPULAR)
