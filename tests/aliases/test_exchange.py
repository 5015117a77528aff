"""Aliases as JSON, there and back, and registries of other programs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aliases.exchange import alias_described, aliases_export, aliases_import
from aliases.models import Alias
from inference.errors import InvalidRequest
from inference.models import ModelRecord

pytestmark = pytest.mark.django_db

REGISTRY = {
    "mistral-instruct": {
        "model_id": "mistralai/Mistral-7B-Instruct-v0.3",
        "system_prompt": "You are helpful.",
        "temperature": 0.7,
        "repetition_penalty": 1.1,
        "max_new_tokens": 200,
        "ctx": 4096,
        "top_k": None,
        "stop": ["<|eot_id|>"],
        "load_in_8bit": True,
        "load_in_4bit": False,
        "json_mode": True,
        "trust_remote_code": True,
    },
    "plain": {"model": "org/model", "parameters": {"top_p": 0.9, "beams": 4}},
}


def test_so_many_are_taken_that_others_can_write_meanwhile() -> None:
    many = {f"a{number}": {"model": "org/model"} for number in range(2001)}
    with pytest.raises(InvalidRequest, match="2001 aliases are too many; at most 2000"):
        aliases_import(json.dumps(many))


def test_a_registry_of_a_command_line_runner_is_understood() -> None:
    imported = aliases_import(json.dumps(REGISTRY))
    assert imported.names == ("mistral-instruct", "plain")
    assert imported.left_out == ("mistral-instruct: trust_remote_code", "plain: beams")
    alias = Alias.objects.get(name="mistral-instruct")
    assert (alias.model, alias.system) == ("mistralai/Mistral-7B-Instruct-v0.3", "You are helpful.")
    assert (alias.quantization, alias.json_mode) == ("int8", True)
    assert alias.options == {
        "temperature": 0.7,
        "repeat_penalty": 1.1,
        "num_predict": 200,
        "num_ctx": 4096,
        "stop": ["<|eot_id|>"],
    }
    assert Alias.objects.get(name="plain").options == {"top_p": 0.9}


def test_everything_comes_back_as_it_went() -> None:
    aliases_import(json.dumps(REGISTRY))
    Alias.objects.filter(name="plain").update(
        description="d", keep_alive="5m", fallbacks=["x"], visibility="some", enabled=False, revision="abc"
    )
    before = {alias.name: alias_described(alias) for alias in Alias.objects.all()}
    text = aliases_export(Alias.objects.all())
    Alias.objects.all().delete()
    Alias.objects.create(name="PLAIN", model="other/model", system="goes")
    aliases_import(text)
    assert {alias.name: alias_described(alias) for alias in Alias.objects.all()} == before


@pytest.mark.parametrize(
    "wrong",
    [
        "not json",
        "[1]",
        "3",
        '{"a b": {"model": "org/model"}}',
        '{"good": {"model": "org/model"}, "bad": {"model": "org/model", "top_p": 7}}',
        '{"good": {"model": "org/model"}, "bad": {}}',
        '{"org/model": {"model": "org/model"}}',
        '{"bad": {"model": "org/model", "system": 3}}',
        '{"bad": {"model": "org/model", "enabled": "perhaps"}}',
    ],
)
def test_a_wrong_file_changes_nothing(wrong: str) -> None:
    ModelRecord.objects.create(name="org/model", source="hub", folder="m", architecture="llama", digest="0")
    kept = Alias.objects.create(name="good", model="org/model", system="stays")
    with pytest.raises(InvalidRequest):
        aliases_import(wrong)
    assert list(Alias.objects.values_list("name", "system")) == [(kept.name, "stays")]


def test_a_list_of_aliases_is_taken_too() -> None:
    given: list[dict[str, Any]] = [{"alias": "a", "model": "org/m"}, {"name": "b", "model": "org/m"}]
    assert aliases_import(json.dumps(given)).names == ("a", "b")
