"""How an alias has its model loaded, and the chat template that it brings."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from aliases.exchange import alias_described, aliases_export, aliases_import
from aliases.modelfile import modelfile_text
from aliases.modelfile_reader import modelfile_read
from aliases.models import Alias
from aliases.selectors import alias_resolve
from aliases.services import Settings, alias_copy, alias_create
from aliases.templates import FILLS_IN, template_checked
from inference.errors import InvalidRequest
from inference.models import ModelRecord
from inference.protocol import Embed, Generate, Load

PLAIN = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
ABLE = PLAIN + "{% if tools %}{{ tools | tojson }}{% endif %}{% if enable_thinking %}<think>{% endif %}"


@pytest.fixture(autouse=True)
def record(db: None) -> ModelRecord:
    return ModelRecord.objects.create(
        name="org/model",
        source="hub",
        folder="m",
        architecture="llama",
        digest="0",
        capabilities=["completion", "tools", "vision"],
    )


def alias(name: str = "small", model: str = "org/model", **fields: Any) -> Alias:
    return Alias.objects.create(name=name, model=model, **fields)


def test_an_alias_says_how_its_model_is_loaded() -> None:
    alias(dtype="bfloat16", device="cuda:1", quantization="int8")
    model = alias_resolve("small").model
    assert (model.dtype, model.device, model.quantization) == ("bfloat16", "cuda:1", "int8")
    plain = alias_resolve("org/model").model
    assert (plain.dtype, plain.device) == ("auto", "auto")


def test_an_alias_of_an_alias_loads_it_the_same_way_unless_it_says_another() -> None:
    alias("inner", dtype="float16", device="cpu", template=PLAIN)
    alias("outer", "inner")
    alias("other", "inner", dtype="float32", template=ABLE)
    outer, other = alias_resolve("outer"), alias_resolve("other")
    assert (outer.model.dtype, outer.model.device, outer.template) == ("float16", "cpu", PLAIN)
    assert (other.model.dtype, other.model.device, other.template) == ("float32", "cpu", ABLE)


def test_a_template_goes_into_requests_that_bring_none() -> None:
    alias(template=PLAIN)
    target = alias_resolve("small")
    assert target.fill(Generate(model=target.model)).template == PLAIN
    assert target.fill(Generate(model=target.model, template=ABLE)).template == ABLE


@pytest.mark.parametrize(
    ("template", "able"),
    [
        ("", ["completion", "tools", "vision"]),
        (PLAIN, ["completion", "vision"]),
        (ABLE, ["completion", "tools", "vision", "thinking"]),
    ],
)
def test_what_an_alias_can_do_follows_its_template(template: str, able: list[str]) -> None:
    alias(template=template)
    assert alias_resolve("small").capabilities == able


def test_how_long_a_model_stays_is_filled_in_whatever_is_asked_of_it() -> None:
    alias(keep_alive="1h")
    target = alias_resolve("small")
    for request in (Embed(model=target.model, texts=()), Load(model=target.model)):
        assert target.fill(request).keep_alive == 3600.0
    assert target.fill(Embed(model=target.model, texts=(), keep_alive=0.0)).keep_alive == 0.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"dtype": "int8"},
        {"device": "gpu"},
        {"device": "cuda:x"},
        {"template": "{{ .System }}"},
        {"template": "{% for"},
        {"template": PLAIN + "x" * 70_000},
    ],
)
def test_what_cannot_be_meant_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Alias(name="small", model="org/model", **wrong).full_clean()
    with pytest.raises(InvalidRequest):
        aliases_import(json.dumps({"small": {"model": "org/model"} | wrong}))
    with pytest.raises(InvalidRequest):
        alias_create(name="small", source="org/model", settings=Settings(**wrong))


def test_a_template_of_gos_is_told_what_to_write() -> None:
    for source in (
        "{{ .Prompt }}",
        "{{- range .Messages }}{{ .Role }}{{ end }}",
        "{{ if .System }}x{{ end }}",
        "{{- $last := 1 }}",
    ):
        with pytest.raises(InvalidRequest, match=r"one of Go's.*for message in messages"):
            template_checked(source)
    assert template_checked(f" {PLAIN}{FILLS_IN}") == f" {PLAIN}"
    assert template_checked(f" \n{FILLS_IN}") == ""


def test_everything_is_carried_in_files_and_copies() -> None:
    alias(dtype="float16", device="cuda:1", template=PLAIN.strip())
    before = alias_described(Alias.objects.get())
    assert before.keys() >= {"dtype", "device", "template"}
    text = aliases_export(Alias.objects.all())
    Alias.objects.all().delete()
    aliases_import(text)
    assert alias_described(Alias.objects.get()) == before
    copied = alias_described(alias_copy(source="small", destination="copy"))
    assert copied == before


def test_a_registry_in_torchs_words_is_understood() -> None:
    entry = {"model": "org/m", "torch_dtype": "torch.float16", "device_map": "auto", "chat_template": ABLE}
    registry = {"a": entry, "b": {"model": "org/m", "dtype": "bf16"}}
    assert aliases_import(json.dumps(registry)).left_out == ()
    first, second = Alias.objects.order_by("name")
    assert (first.dtype, first.device, first.template) == ("float16", "auto", ABLE)
    assert second.dtype == "bfloat16"


def test_a_modelfile_carries_the_template_and_leaves_the_models_own_to_it(
    record: ModelRecord, tmp_path: Any
) -> None:
    alias(template=ABLE)
    target = alias_resolve("small")
    read = modelfile_read(modelfile_text(target, target.template, ""))
    made = alias_create(name="again", source=read.source, settings=read.settings)
    assert made.template == ABLE
    (tmp_path / "chat_template.jinja").write_text(PLAIN)
    record.folder = str(tmp_path)
    record.save()
    assert alias_create(name="own", source="org/model", settings=Settings(template=PLAIN)).template == ""
