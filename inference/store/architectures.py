"""What kind of model a configuration describes: the one place that knows kinds.

A new kind is one ``Kind`` and one line in ``kind_detect``. Decided from names and configurations
alone; the engine decides for itself which handler runs a model.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from inference.store.auto_classes import CAUSAL, CONFIGS, IMAGE_TEXT, model_types, transformers_version
from inference.store.errors import ModelRefused

TEXT_CLASSES = ("ForCausalLM", "LMHeadModel")


@dataclass(frozen=True)
class Kind:
    """A kind of model, what all of it can do as Ollama names it, and whether this version runs it."""

    label: str
    capabilities: tuple[str, ...] = ()
    runs: bool = False


TEXT = Kind("text generation", ("completion",), runs=True)
VISION = Kind("vision", ("completion", "vision"))
EMBEDDING = Kind("embedding", ("embedding",))
OTHER = Kind("unknown")


def model_type_read(config: dict[str, Any]) -> str:
    """The configuration's ``model_type``; ``ModelRefused`` for one that transformers cannot load."""
    model_type = config.get("model_type")
    if isinstance(model_type, str) and model_type in model_types(CONFIGS):
        return model_type
    if "auto_map" in config:
        raise ModelRefused(
            "The model needs Python code of its own, which HugWeb never runs. Choose another one."
        )
    if not isinstance(model_type, str):
        raise ModelRefused("config.json names no model_type. Give a model in transformers' format.")
    raise ModelRefused(
        f"The model_type '{model_type[:64]}' is unknown to transformers {transformers_version()}. "
        "Choose another model, or update transformers."
    )


def kind_detect(config: dict[str, Any], files: Collection[str]) -> Kind:
    """The kind of the model with this configuration and these files."""
    model_type = config["model_type"]
    # First, since an embedding model may carry the architecture of the text model it was made from.
    if "modules.json" in files:
        return EMBEDDING
    if model_type in model_types(IMAGE_TEXT) and "vision_config" in config:
        return VISION
    if model_type in model_types(CAUSAL) and _is_text_class(config.get("architectures")):
        return TEXT
    return OTHER


def _is_text_class(architectures: object) -> bool:
    # bert and its like are in the causal table too, but their weights are seldom of that class.
    return isinstance(architectures, list) and any(str(name).endswith(TEXT_CLASSES) for name in architectures)
