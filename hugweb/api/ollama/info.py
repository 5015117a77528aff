"""``model_info`` of ``/api/show``: a configuration as GGUF's flat keys, which clients read.

Source: Ollama's ``x/server/show.go`` as of v0.33, and GGUF's specification of keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inference.footprint.anatomy import text_config
from inference.models import ModelRecord

# GGUF's keys below the architecture's name, and transformers' names of the same.
_KEYS = {
    "context_length": ("max_position_embeddings", "n_positions", "max_seq_len"),
    "embedding_length": ("hidden_size", "n_embd", "d_model"),
    "block_count": ("num_hidden_layers", "n_layer"),
    "feed_forward_length": ("intermediate_size", "n_inner"),
    "attention.head_count": ("num_attention_heads", "n_head"),
    "attention.head_count_kv": ("num_key_value_heads",),
    "attention.key_length": ("head_dim",),
    "attention.sliding_window": ("sliding_window",),
    "attention.layer_norm_rms_epsilon": ("rms_norm_eps",),
    "rope.freq_base": ("rope_theta",),
    "expert_count": ("num_local_experts", "num_experts", "n_routed_experts"),
    "expert_used_count": ("num_experts_per_tok",),
    "vocab_size": ("vocab_size",),
}


def model_info(record: ModelRecord, config: dict[str, Any], basename: str) -> dict[str, Any]:
    """What is known of the model; ``basename`` is what it is to be called."""
    text = _with_rope(text_config(config))
    found = {
        f"{record.architecture}.{key}": value
        for key, names in _KEYS.items()
        if (value := next(filter(_is_number, map(text.get, names)), None)) is not None
    }
    if record.context_length:
        found[f"{record.architecture}.context_length"] = record.context_length
    return {
        "general.architecture": record.architecture,
        "general.basename": basename,
        "general.parameter_count": record.parameters,
        **found,
    }


def _with_rope(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """``config`` with its rotary parameters, which newer versions keep apart."""
    rope = config.get("rope_parameters")
    return {**rope, **config} if isinstance(rope, dict) else config


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**63
