from __future__ import annotations

import subprocess
import sys

import pytest

from inference.store.architectures import (
    EMBEDDING,
    OMNI,
    OTHER,
    RERANKING,
    SPEECH,
    TEXT,
    VISION,
    Kind,
    kind_detect,
    model_type_read,
)
from inference.store.auto_classes import CONFIGS, TABLES, model_types
from inference.store.errors import ModelRefused
from tests.inference.store.builders import ROOT


@pytest.mark.parametrize("table", sorted(TABLES))
def test_the_tables_are_those_of_the_installed_transformers(table: str) -> None:
    import importlib

    module = "configuration_auto" if table == CONFIGS else "modeling_auto"
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
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, (), EMBEDDING),
        ({"model_type": "bert", "architectures": ["BertModel"]}, (), EMBEDDING),
        (
            {"model_type": "qwen2_5_omni", "architectures": ["Qwen2_5OmniModel"], "thinker_config": {}},
            (),
            OMNI,
        ),
        ({"model_type": "vit", "architectures": ["ViTModel"]}, (), OTHER),
        ({"model_type": "bert", "architectures": ["BertForSequenceClassification"]}, (), OTHER),
        (
            {
                "model_type": "bert",
                "architectures": ["BertForSequenceClassification"],
                "id2label": {"0": "LABEL_0"},
            },
            (),
            RERANKING,
        ),
        ({"model_type": "llama"}, (), OTHER),
        ({"model_type": "llama", "architectures": "LlamaForCausalLM"}, (), OTHER),
        ({"model_type": "whisper", "architectures": ["WhisperForConditionalGeneration"]}, (), SPEECH),
        ({"model_type": "whisper", "architectures": ["WhisperForAudioClassification"]}, (), OTHER),
        ({"model_type": "wav2vec2", "architectures": ["Wav2Vec2ForCTC"]}, (), OTHER),
    ],
)
def test_kinds(config: dict, files: tuple[str, ...], kind: Kind) -> None:
    assert kind_detect(config, files) == kind


def test_kinds_that_run() -> None:
    kinds = {TEXT, VISION, OMNI, EMBEDDING, RERANKING, SPEECH, OTHER}
    assert {kind for kind in kinds if not kind.runs} == {OTHER}


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
