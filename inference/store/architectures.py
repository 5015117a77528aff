"""What kind of model a configuration describes: the one place that knows kinds.

A new kind is one ``Kind`` and one line in ``kind_detect``. Decided from names and configurations
alone; the engine decides for itself which handler runs a model.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from inference.pipelines import Pipeline, pipeline_of
from inference.store.auto_classes import (
    CAUSAL,
    CONFIGS,
    ENCODERS,
    IMAGE_TEXT,
    MASKED,
    model_types,
    transformers_version,
)
from inference.store.errors import ModelRefused

TEXT_CLASSES = ("ForCausalLM", "LMHeadModel")
ENCODER_CLASSES = ("Model", "ForMaskedLM")
RANKING_CLASSES = ("ForSequenceClassification",)
# Whisper's family writes down what is said, and nothing else.
HEARING, HEARING_CLASSES = frozenset({"whisper"}), ("ForConditionalGeneration",)
# Tables of models that read text.
READERS = (MASKED, ENCODERS, CAUSAL)


@dataclass(frozen=True)
class Kind:
    """A kind of model, what all of it can do as Ollama names it, and whether this version runs it."""

    label: str
    capabilities: tuple[str, ...] = ()
    runs: bool = False


TEXT = Kind("text generation", ("completion",), runs=True)
VISION = Kind("vision", ("completion", "vision"), runs=True)
OMNI = Kind("vision and audio", ("completion", "vision", "audio"), runs=True)
EMBEDDING = Kind("embedding", ("embedding",), runs=True)
RERANKING = Kind("reranking", ("rerank",), runs=True)
SPEECH = Kind("speech recognition", ("transcription",), runs=True)
DRAWING = Kind("image generation", ("image",), runs=True)
EDITING = Kind("image editing", ("image", "image_edit"), runs=True)
DRAWING_AND_EDITING = Kind("image generation and editing", ("image", "image_edit"), runs=True)
PIPELINE_OTHER = Kind("image pipeline")
OTHER = Kind("unknown")


def model_type_read(config: dict[str, Any]) -> str:
    """The configuration's ``model_type``, or the family of a pipeline; ``ModelRefused`` for one that neither
    transformers nor diffusers can load."""
    if "_class_name" in config:
        return pipeline_read(config).family
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


def pipeline_read(index: dict[str, Any]) -> Pipeline:
    """The pipeline with this ``model_index.json``; ``ModelRefused`` for one that cannot be loaded safely."""
    try:
        return pipeline_of(index)
    except ValueError as error:
        raise ModelRefused(f"{error} Choose another model.") from error


def kind_detect(config: dict[str, Any], files: Collection[str]) -> Kind:
    """The kind of the model with this configuration and these files."""
    if "_class_name" in config:
        return _pipeline_kind(pipeline_read(config))
    model_type, classes = config["model_type"], config.get("architectures")
    if _ends(classes, RANKING_CLASSES):
        return RERANKING if _labels(config) == 1 else OTHER
    # A model that speaks, too: the part that sees, hears and writes is what is run.
    if "thinker_config" in config:
        return OMNI
    if model_type in HEARING and _ends(classes, HEARING_CLASSES):
        return SPEECH
    # Early, since an embedding model may carry the architecture of the text model it was made from.
    if "modules.json" in files:
        return EMBEDDING
    if model_type in model_types(IMAGE_TEXT) and "vision_config" in config:
        return VISION
    # bert and its like are in the causal table too, but their weights are seldom of that class.
    if model_type in model_types(CAUSAL) and _ends(classes, TEXT_CLASSES):
        return TEXT
    if _ends(classes, ENCODER_CLASSES) and any(model_type in model_types(table) for table in READERS):
        return EMBEDDING
    return OTHER


def _ends(classes: object, endings: tuple[str, ...]) -> bool:
    return isinstance(classes, list) and bool(classes) and str(classes[0]).endswith(endings)


def _labels(config: dict[str, Any]) -> int:
    """How many classes a classifier knows; a reranker has one, its score."""
    labels = config.get("id2label")
    return len(labels) if isinstance(labels, dict) else 2


def _pipeline_kind(pipeline: Pipeline) -> Kind:
    if not pipeline.classes:
        return PIPELINE_OTHER
    if "text" not in pipeline.classes:
        return EDITING
    return DRAWING_AND_EDITING if len(pipeline.classes) > 1 else DRAWING
