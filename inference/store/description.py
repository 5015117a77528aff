"""What a model is, read from its files: kind, what it can do, architecture, size, lengths.

The only door to all checks of content: a model that ``model_describe`` describes passed them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from inference.footprint.anatomy import count_in, text_config
from inference.store.architectures import Kind, kind_detect, model_type_read
from inference.store.capabilities import capabilities_detect
from inference.store.configs import config_read
from inference.store.listing import Listing
from inference.store.weights import Weights, weights_read

LONGEST_WORD = 16


@dataclass(frozen=True)
class Description:
    """What is known of a model; lengths are 0 where the configuration does not tell.

    ``quantization`` is how the files themselves are quantized, as ``gptq 4-bit``; mostly empty.
    """

    kind: Kind
    capabilities: tuple[str, ...]
    architecture: str
    weights: Weights
    quantization: str
    context_length: int
    embedding_length: int


def model_describe(listing: Listing) -> Description:
    """The model in these files. ``ModelRefused`` if it is not whole or not safe."""
    config = config_read(listing)
    architecture = model_type_read(config)
    text = text_config(config)
    kind = kind_detect(config, listing.files)
    return Description(
        kind=kind,
        capabilities=capabilities_detect(kind, config, listing),
        architecture=architecture,
        weights=weights_read(listing),
        quantization=_quantization(config),
        context_length=count_in(text, "max_position_embeddings", "n_positions", "max_seq_len"),
        embedding_length=count_in(text, "hidden_size", "n_embd", "d_model"),
    )


def _quantization(config: dict[str, Any]) -> str:
    """The method and, where it is named, the bits of the configuration's ``quantization_config``."""
    details = config.get("quantization_config")
    if not isinstance(details, dict):
        return ""
    method, bits = details.get("quant_method"), details.get("bits")
    if method == "bitsandbytes":
        bits = 4 if details.get("load_in_4bit") is True else 8
    name = method[:LONGEST_WORD] if isinstance(method, str) else "unknown"
    return f"{name} {bits}-bit" if type(bits) is int and 0 < bits <= 16 else name
