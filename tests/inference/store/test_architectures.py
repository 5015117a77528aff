from __future__ import annotations

import subprocess
import sys

import pytest

from inference.store.architectures import EMBEDDING, OTHER, TEXT, VISION, Kind, kind_detect, model_type_read
from inference.store.auto_classes import CAUSAL, CONFIGS, IMAGE_TEXT, model_types
from inference.store.errors import ModelRefused
from tests.inference.store.builders import ROOT


@pytest.mark.parametrize(
    ("table", "module"),
    [(CONFIGS, "configuration_auto"), (CAUSAL, "modeling_auto"), (IMAGE_TEXT, "modeling_auto")],
)
def test_the_tables_are_those_of_the_installed_transformers(table: str, module: str) -> None:
    import importlib

    theirs = getattr(importlib.import_module(f"transformers.models.auto.{module}"), table)
    assert model_types(table) == set(theirs)


def test_reading_the_tables_imports_neither_transformers_nor_torch() -> None:
    code = (
        "import sys; from inference.store.auto_classes import CONFIGS, model_types; model_types(CONFIGS);"
        "print({'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("config", "files", "kind"),
    [
        ({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}, (), TEXT),
        ({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}, (), TEXT),
        ({"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"]}, ("modules.json",), EMBEDDING),
        (
            {
                "model_type": "gemma3",
                "architectures": ["Gemma3ForConditionalGeneration"],
                "vision_config": {},
            },
            (),
            VISION,
        ),
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, (), OTHER),
        ({"model_type": "llama"}, (), OTHER),
        ({"model_type": "llama", "architectures": "LlamaForCausalLM"}, (), OTHER),
        ({"model_type": "whisper", "architectures": ["WhisperForConditionalGeneration"]}, (), OTHER),
    ],
)
def test_kinds(config: dict, files: tuple[str, ...], kind: Kind) -> None:
    assert kind_detect(config, files) == kind


def test_only_text_models_run_so_far() -> None:
    assert [kind.label for kind in (TEXT, VISION, EMBEDDING, OTHER) if kind.runs] == ["text generation"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "my_model", "auto_map": {"AutoModel": "modeling_my.My"}}, "Python code of its own"),
        ({"auto_map": {"AutoModel": "modeling_my.My"}}, "Python code of its own"),
        ({"model_type": "my_model"}, r"'my_model' is unknown to transformers 5\."),
        ({"model_type": ["llama"]}, "names no model_type"),
        ({}, "names no model_type"),
    ],
)
def test_what_transformers_cannot_load_is_refused(config: dict, message: str) -> None:
    with pytest.raises(ModelRefused, match=message):
        model_type_read(config)


def test_remote_code_that_is_not_needed_is_no_reason_to_refuse() -> None:
    assert model_type_read({"model_type": "phi3", "auto_map": {"AutoModel": "modeling_phi3.Phi3"}}) == "phi3"
