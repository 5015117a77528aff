from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from msgspec.structs import replace
from ollama import ListResponse, ProcessResponse

from aliases.models import Alias
from hugweb.api.ollama.listing import human_number, running, tags
from inference.asker import Asker, asking
from inference.models import ModelRecord
from inference.protocol import LoadedModel


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (134_515_008, "134.52M"),
        (494_030_000, "494.03M"),
        (7_600_000_000, "7.6B"),
        (8_000_000_000, "8B"),
        (2_000_000, "2M"),
        (12_345, "12K"),
        (999, "999"),
        (0, "0"),
    ],
)
def test_counts_are_written_as_ollama_writes_them(number: int, text: str) -> None:
    assert human_number(number) == text


@pytest.fixture
def record(db: None) -> ModelRecord:
    return ModelRecord.objects.create(
        name="Org/Model",
        source="store",
        folder="Org/Model",
        architecture="llama",
        capabilities=["completion"],
        parameters=134_515_008,
        dtype="BF16",
        size=269_060_552,
        digest="ab" * 32,
        context_length=8192,
    )


def test_tags_list_models_and_aliases_in_the_clients_form(record: ModelRecord) -> None:
    Alias.objects.create(name="small", model="org/MODEL")
    Alias.objects.create(name="orphan", model="org/gone")
    listed = ListResponse(models=tags()).models
    assert [model.model for model in listed] == ["small:latest", "Org/Model:latest"]
    assert all(len(model.digest or "") == 64 for model in listed)
    assert listed[0].size == 269_060_552
    details = listed[0].details
    assert details is not None
    assert (details.format, details.family) == ("safetensors", "llama")
    assert (details.parameter_size, details.quantization_level) == ("134.52M", "BF16")


def test_an_alias_has_a_digest_of_its_own_only_where_it_adds_something(record: ModelRecord) -> None:
    """Clients take models of one digest for one model."""
    Alias.objects.create(name="same", model=record.name)
    Alias.objects.create(name="brief", model=record.name, system="Be brief.")
    Alias.objects.create(name="small", model=record.name, quantization="int8")
    digests = {entry["name"]: entry["digest"] for entry in tags()}
    assert digests["same:latest"] == digests["Org/Model:latest"] == record.digest
    assert len({*digests.values()}) == 3
    assert all(len(digest) == 64 for digest in digests.values())


def test_tags_of_an_empty_store_is_a_list(db: None) -> None:
    """1"""
    assert tags() == []


def test_running_models_in_the_clients_form(record: ModelRecord) -> None:
    loaded = LoadedModel(
        name="Org/Model", state="ready", device="cuda", size=5, context_length=8192, expires_in=300, active=0
    )
    for_ever = LoadedModel(
        name="unknown", state="loading", device="", size=0, context_length=0, expires_in=-1, active=1
    )
    listed = ProcessResponse(models=running((loaded, for_ever))).models
    assert [model.model for model in listed] == ["unknown:latest", "Org/Model:latest"]
    assert listed[1].size_vram == 5
    assert listed[1].digest == "ab" * 32
    expires = [model.expires_at for model in listed]
    assert expires[0] is not None
    assert expires[1] is not None
    assert (expires[0] - expires[1]).days > 100 * 365
    long = replace(for_ever, expires_in=1e300)
    (entry,) = ProcessResponse(models=running((long,))).models
    assert entry.expires_at and (entry.expires_at - expires[0]).total_seconds() < 60


def test_a_hidden_alias_in_memory_is_not_named(record: ModelRecord) -> None:
    secret = Alias.objects.create(name="secret", model=record.name, visibility="some")
    ann, bob = (User.objects.create_user(name) for name in ("ann", "bob"))
    secret.users.add(ann)
    loaded = LoadedModel(
        name="secret", state="ready", device="cpu", size=5, context_length=8192, expires_in=300, active=0
    )
    told = {}
    for user in (ann.pk, bob.pk, None):
        with asking(Asker(user=user)):
            told[user] = [model["name"] for model in running((loaded,))]
    assert told == {ann.pk: ["secret:latest"], bob.pk: [], None: ["secret:latest"]}
