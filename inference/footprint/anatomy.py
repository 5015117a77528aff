"""What of a model takes memory, told from its configuration: architectures have names of their own for the
same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# Bytes of a number, by its name in safetensors files; other formats are of one byte.
SIZES = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "BF16": 2, "F16": 2, "I16": 2, "U16": 2}
# The families that `inference.engine.lean_forward` runs.
LEAN = frozenset({"llama", "mistral", "qwen2", "qwen3"})
WRITERS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
# They write as well, but with modules of their own: transformers' run them as they are.
HEARING = frozenset({"whisper"})
# Layers that nobody multiplies by as `nn.Linear`: they stay as they are when others are packed or quantized.
UNLIKE_LINEAR = frozenset({"gpt2", "openai-gpt"})
# The last layer, where it is not the table of words.
HEADS = ("lm_head.weight", "embed_out.weight", "output.weight")


@dataclass(frozen=True)
class Anatomy:
    """What of a model takes memory. All are counts of numbers, but for ``stored``, bytes of its files.

    ``embedding``: of the table of words; ``tied``: the last layer uses the same table. ``cached``: keys
    and values of one token. ``active``: what one token needs in the widest layer. ``context``: tokens,
    0 where the configuration does not tell. ``lean``: of the families that have a pass of their own;
    ``writes``: text; ``encodes`` it, into vectors or scores. ``fixed``: the files are quantized already.
    ``apart``: of weights that are never packed or quantized. ``picture``: what drawing one works with.
    """

    numbers: int
    stored: int
    number_size: int
    embedding: int = 0
    vocabulary: int = 0
    cached: int = 0
    active: int = 0
    context: int = 0
    tied: bool = False
    lean: bool = False
    writes: bool = False
    encodes: bool = False
    fixed: bool = False
    apart: int = 0
    picture: int = 0


def anatomy_of(
    config: Mapping[str, Any], counts: Mapping[str, int], names: Iterable[str] = (), *, apart: int = 0
) -> Anatomy:
    """The anatomy of a model with ``counts`` numbers by format, as safetensors names them.

    ``names`` of weights tell whether tables are shared; without them the configuration does.
    """
    text = text_config(config)
    most = max(counts, key=lambda name: counts[name], default="BF16")
    hidden = count_in(text, "hidden_size", "n_embd", "d_model")
    vocabulary = count_in(text, "vocab_size")
    names = set(names)
    numbers, kind = sum(counts.values()), str(config.get("model_type"))
    writes = _writes(config) and kind not in HEARING
    return Anatomy(
        numbers=numbers,
        stored=sum(count * SIZES.get(name, 1) for name, count in counts.items()),
        number_size=SIZES.get(most, 1),
        embedding=vocabulary * hidden,
        vocabulary=vocabulary,
        cached=_cached(text, hidden) if writes else 0,
        active=4 * hidden + 3 * count_in(text, "intermediate_size", "n_inner", "ffn_dim", default=4 * hidden),
        context=count_in(text, "max_position_embeddings", "n_positions", "max_seq_len"),
        tied=not any(name.endswith(HEADS) for name in names)
        if names
        else bool(config.get("tie_word_embeddings")),
        lean=kind in LEAN,
        writes=writes,
        encodes=not writes and kind not in HEARING and "architectures" in config,
        fixed="quantization_config" in config,
        apart=numbers - vocabulary * hidden if kind in UNLIKE_LINEAR else apart,
    )


def text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part that describes the language model, where there are several."""
    for key in ("thinker_config", "text_config"):
        inner = config.get(key)
        config = inner if isinstance(inner, dict) else config
    return config


def _writes(config: Mapping[str, Any]) -> bool:
    """Whether the model writes text, token by token."""
    names = config.get("architectures")
    return isinstance(names, list) and any(str(name).endswith(WRITERS) for name in names)


def _cached(text: Mapping[str, Any], hidden: int) -> int:
    """Keys and values of one token, in the layers that keep them."""
    layers = count_in(text, "num_hidden_layers", "n_layer", "num_layers")
    kinds = text.get("layer_types")
    if isinstance(kinds, list):
        layers = sum("attention" in str(kind) and "linear" not in str(kind) for kind in kinds)
    heads = count_in(text, "num_attention_heads", "n_head", default=1)
    holders = count_in(text, "num_key_value_heads", "num_kv_heads", default=heads)
    size = count_in(text, "head_dim", default=hidden // heads)
    if latent := count_in(text, "qk_rope_head_dim"):
        size = (latent + count_in(text, "qk_nope_head_dim") + count_in(text, "v_head_dim")) // 2
    return 2 * layers * holders * size


def count_in(config: Mapping[str, Any], *names: str, default: int = 0) -> int:
    """The first of these that is a count; architectures have names of their own for the same."""
    values = (config.get(name) for name in names)
    return next((value for value in values if type(value) is int and 0 < value < 2**31), default)
