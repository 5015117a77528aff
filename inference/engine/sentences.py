"""An embedding model's own description: sentence-transformers' layout, or none.

``modules.json`` lists what a text goes through: the transformer, a pooling, perhaps dense layers, a
normalization; each has a folder with a configuration, and prompts stand beside it. A model without
it is pooled by the mean. Layout: https://sbert.net/docs/sentence_transformer/usage/custom_models.html
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from inference.engine.pooling import POOLINGS
from inference.errors import LoadFailed, Unsupported

MODULES = "modules.json"
Layer = Callable[[Tensor], Tensor]

# The names of the poolings in the files: flags in most, ``pooling_mode`` in some.
FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
ACTIVATIONS: dict[str, Layer] = {
    "Identity": lambda vectors: vectors,
    "Tanh": torch.tanh,
    "ReLU": torch.relu,
    "GELU": functional.gelu,
    "SiLU": functional.silu,
}


@dataclass(frozen=True)
class Sentences:
    """How a model's folder says that texts become vectors.

    ``transformer`` is the folder of the transformer itself; ``layers`` follow the pooling, on the
    CPU; texts are at most ``longest`` tokens (0: as the transformer says), stand behind ``prompt``,
    and are in lower case if ``lower``.
    """

    transformer: Path
    poolings: tuple[str, ...] = ("mean",)
    layers: tuple[Layer, ...] = ()
    prompt: str = ""
    longest: int = 0
    lower: bool = False


def read_sentences(folder: Path) -> Sentences:
    """The description in ``folder``.

    ``Unsupported`` for modules that are not known here, ``LoadFailed`` for damaged files.
    """
    if not (folder / MODULES).exists():
        return Sentences(transformer=folder)
    try:
        return _read(folder)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise LoadFailed("The model's sentence-transformers files are damaged. Pull it again.") from error


def _read(folder: Path) -> Sentences:
    transformer, layers = folder, []
    poolings: tuple[str, ...] = ("mean",)
    for module in json.loads((folder / MODULES).read_bytes()):
        place = _inside(folder, module["path"])
        # The same module has had several full names.
        match str(module["type"]).rpartition(".")[2]:
            case "Transformer":
                transformer = place
            case "Pooling":
                poolings = _poolings(_json(place / "config.json"))
            case "Dense":
                layers.append(_dense(place))
            case "LayerNorm":
                layers.append(_layer_norm(place))
            case "Normalize" | "Dropout":
                # Vectors are always brought to unit length, at the end.
                pass
            case other:
                raise Unsupported(f"This embedding model needs a module ({other}) that cannot be run.")
    limits = next((_json(file) for file in transformer.glob("sentence_*_config.json")), {})
    prompts = _json(folder / "config_sentence_transformers.json")
    return Sentences(
        transformer=transformer,
        poolings=poolings,
        layers=tuple(layers),
        prompt=str((prompts.get("prompts") or {}).get(prompts.get("default_prompt_name")) or ""),
        longest=int(limits.get("max_seq_length") or 0),
        lower=bool(limits.get("do_lower_case")),
    )


def _inside(folder: Path, name: str) -> Path:
    place = folder / name
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(name)
    return place


def _json(path: Path) -> dict[str, Any]:
    """The object in a file, an empty one if there is no file."""
    content = json.loads(path.read_bytes()) if path.exists() else {}
    if not isinstance(content, dict):
        raise TypeError(path.name)
    return content


def _poolings(config: dict[str, Any]) -> tuple[str, ...]:
    mode = config.get("pooling_mode") or [name for flag, name in FLAGS.items() if config.get(flag)]
    wanted = [mode] if isinstance(mode, str) else mode or ["mean"]
    if unknown := set(wanted) - POOLINGS.keys():
        raise Unsupported(f"This embedding model pools in a way ({min(unknown)}) that is not known.")
    return tuple(name for name in POOLINGS if name in wanted)


def _dense(place: Path) -> Layer:
    name = str(_json(place / "config.json").get("activation_function", "Tanh")).rpartition(".")[2]
    if name not in ACTIVATIONS:
        raise Unsupported(f"This embedding model needs an activation ({name}) that is not known.")
    weights = _weights(place)
    weight, bias = weights["linear.weight"], weights.get("linear.bias")
    return lambda vectors: ACTIVATIONS[name](functional.linear(vectors, weight, bias))


def _layer_norm(place: Path) -> Layer:
    weights = _weights(place)
    weight, bias = weights["norm.weight"], weights["norm.bias"]
    return lambda vectors: functional.layer_norm(vectors, weight.shape, weight, bias)


def _weights(place: Path) -> dict[str, Tensor]:
    return {name: tensor.float() for name, tensor in load_file(place / "model.safetensors").items()}
