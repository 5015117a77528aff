from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from aliases.models import Alias
from aliases.selectors import alias_resolve
from inference.asker import Asker, asking
from inference.errors import Forbidden, ModelNotFound
from inference.models import ModelRecord
from inference.protocol import Options


@pytest.fixture
def record(db: None) -> ModelRecord:
    return ModelRecord.objects.create(
        name="Org/Model-1B", source="store", folder="Org/Model-1B", architecture="llama", digest="0" * 64
    )


@pytest.mark.parametrize("name", ["Org/Model-1B", "org/model-1b:latest", "hf.co/ORG/MODEL-1B"])
def test_a_model_is_found_by_its_id(record: ModelRecord, name: str) -> None:
    target = alias_resolve(name)
    assert target.record == record
    assert target.model.path == str(record.path)
    assert target.options == Options()


def test_an_alias_brings_its_defaults(record: ModelRecord) -> None:
    Alias.objects.create(name="small", model="org/model-1b", system="Be brief.", options={"top_k": 7})
    target = alias_resolve("SMALL:latest")
    assert (target.record, target.system, target.options) == (record, "Be brief.", Options(top_k=7))
    assert (target.model.name, target.model.quantization) == ("small", "none")


def test_an_alias_may_load_its_model_quantized(record: ModelRecord) -> None:
    Alias.objects.create(name="small", model=record.name, quantization=Alias.Quantization.INT8)
    assert alias_resolve("small").model.quantization == "int8"
    assert alias_resolve(record.name).model.quantization == "none"


@pytest.mark.parametrize("name", ["nope", "org/other", "small:8b"])
def test_unknown_names_are_said_in_ollamas_words(record: ModelRecord, name: str) -> None:
    with pytest.raises(ModelNotFound, match=f"^model '{name}' not found$"):
        alias_resolve(name)


def test_an_alias_of_a_model_that_is_gone_is_not_found(db: None) -> None:
    Alias.objects.create(name="orphan", model="org/gone")
    with pytest.raises(ModelNotFound):
        alias_resolve("orphan")


def test_names_are_unique_whatever_the_case(record: ModelRecord) -> None:
    Alias.objects.create(name="small", model=record.name)
    with pytest.raises(IntegrityError), transaction.atomic():
        Alias.objects.create(name="Small", model=record.name)


@pytest.mark.parametrize(
    "options", [{"temperature": -1}, {"top_k": "many"}, {"stop": [""]}, {"seed": 2**70}, "x"]
)
def test_options_out_of_range_are_refused(db: None, options: object) -> None:
    alias = Alias(name="small", model="a/b", options=options)
    with pytest.raises(ValidationError):
        alias.full_clean()


@pytest.mark.parametrize("written", ["pub:latest", "hf.co/Pub", " PUB:LATEST"])
def test_a_key_is_for_a_name_however_that_is_written(record: ModelRecord, written: str) -> None:
    for name in ("pub", "other"):
        Alias.objects.create(name=name, model=record.name)
    with asking(Asker(models=("no name", written.lower()))):
        assert alias_resolve("pub").record == alias_resolve("Pub:latest").record == record
        with pytest.raises(Forbidden):
            alias_resolve("other")


def test_a_key_for_an_alias_is_for_its_fallbacks_when_they_answer_for_it(record: ModelRecord) -> None:
    Alias.objects.create(name="pub", model="org/gone", fallbacks=[record.name])
    with asking(Asker(models=("pub",))):
        assert alias_resolve("pub").record == record
        with pytest.raises(Forbidden):
            alias_resolve(record.name)
