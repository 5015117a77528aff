"""A model whose figures everybody knows."""

from __future__ import annotations

from inference.footprint.anatomy import Anatomy, anatomy_of

LLAMA_7B = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "vocab_size": 32000,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
}
PARAMETERS_7B = 6_738_415_616


def seven_billion(**changes: object) -> Anatomy:
    return anatomy_of({**LLAMA_7B, **changes}, {"F16": PARAMETERS_7B})
