"""Which handler runs which model: decided from the files alone, before any weight is read."""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import sys
import threading
from pathlib import Path
from typing import Any

from inference.engine.config import EngineConfig
from inference.engine.handlers.base import ModelHandler
from inference.engine.kernels.making import KERNELS
from inference.errors import CannotLoad, InferenceError, LoadFailed
from inference.pipelines import PIPELINE
from inference.protocol import ModelRef
from inference.uncollected import uncollected

logger = logging.getLogger(__name__)

HANDLERS = {
    "text": "inference.engine.handlers.text",
    "vision": "inference.engine.handlers.vision",
    "embedding": "inference.engine.handlers.embedding",
    "reranking": "inference.engine.handlers.reranking",
    "speech": "inference.engine.handlers.speech",
    "image": "inference.engine.handlers.image",
}
# transformers imports itself piece by piece; the first model of any kind needs most of them.
LIBRARIES = (HANDLERS["text"], "transformers.models.llama.modeling_llama")
_importing = threading.Lock()
TEXT_CLASSES = ("ForCausalLM", "LMHeadModel")
SPEECH_CLASSES = ("WhisperForConditionalGeneration",)
ENCODER_CLASSES = ("Model", "ForMaskedLM", "EncoderModel")


def detect_task(folder: Path, config: dict[str, Any]) -> str | None:
    """The task of a model from its files; ``None`` for a kind that no handler runs."""
    if (folder / PIPELINE).exists():
        return "image"
    architectures = config.get("architectures")
    architecture = str(architectures[0]) if isinstance(architectures, list) and architectures else ""
    if architecture.endswith("ForSequenceClassification"):
        return "reranking" if len(config.get("id2label") or ()) == 1 else None
    if architecture in SPEECH_CLASSES:
        return "speech"
    # The part of an Omni model that reads and writes; and whatever has a tower for pictures.
    if "thinker_config" in config or ("vision_config" in config and config.get("model_type") in _seeing()):
        return "vision"
    # An embedding model in sentence-transformers' layout may carry a text model's architecture.
    if (folder / "modules.json").exists():
        return "embedding"
    if architecture.endswith(TEXT_CLASSES):
        return "text"
    if architecture.endswith(ENCODER_CLASSES) and config.get("model_type") in _encoders():
        return "embedding"
    return None


def load_handler(model: ModelRef, config: EngineConfig) -> ModelHandler:
    """Load ``model``. Blocks, so it runs in the loader's thread."""
    module, folder = _module(model, config)
    handler: ModelHandler = module.load(folder, model.quantization, config.for_model(model))
    return handler


def import_for(model: ModelRef, config: EngineConfig) -> None:
    """Import what loading ``model`` takes beside its weights. What is wrong with it is left to its load."""
    import_libraries()
    with contextlib.suppress(InferenceError):
        module, folder = _module(model, config)
        if hasattr(module, "import_parts"):
            module.import_parts(folder)


def _module(model: ModelRef, config: EngineConfig) -> tuple[Any, Path]:
    """The module of the handler for ``model``, and its folder."""
    folder = _allowed_folder(model, config)
    try:
        main = PIPELINE if (folder / PIPELINE).exists() else "config.json"
        description = json.loads((folder / main).read_bytes())
    except (OSError, ValueError) as error:
        raise LoadFailed(
            f"The files of {model.name} are missing or damaged. Pull the model again."
        ) from error
    task = detect_task(folder, description)
    if task is None:
        raise CannotLoad(
            f"{model.name} is of a kind ({description.get('model_type')}) that cannot be run yet."
        )
    return importlib.import_module(HANDLERS[task]), folder


def warm_up(config: EngineConfig) -> None:
    """Make ready what the first load will need: the libraries take seconds, their models often less."""
    if config.cache:
        KERNELS.start(Path(config.cache, "kernels"))
    import_libraries()


def import_libraries() -> None:
    """Import what every load needs: to look through it once for garbage would take 0.2 s."""
    with _importing:
        if LIBRARIES[-1] in sys.modules:
            return
        with uncollected(keep=True):
            for name in LIBRARIES:
                importlib.import_module(name)
            importlib.import_module("inference.engine.hardware").read_in_one_thread()


def _seeing() -> frozenset[str]:
    """The types of models that take pictures and text, and write text."""
    from transformers.models.auto import modeling_auto

    return frozenset(modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES)


def _encoders() -> frozenset[str]:
    """The types of models that read text and nothing else, for those that do not say what they are for."""
    from transformers.models.auto import modeling_auto

    return frozenset(
        modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES.keys()
        | modeling_auto.MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES.keys()
        | modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.keys()
    )


def _allowed_folder(model: ModelRef, config: EngineConfig) -> Path:
    folder = Path(model.path).resolve()
    if any(folder.is_relative_to(Path(root).resolve()) for root in config.model_roots):
        return folder
    raise LoadFailed(f"{model.name} lies outside of the folders that models may be loaded from.")
