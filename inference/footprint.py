"""What a model takes in memory, told from its files before a byte of its weights is loaded.

Its configuration and the headers of its files say how many numbers of which kind there are; how the
engine holds them says the rest: number format, quantization, what is held twice, keys and values per
token, what a pass works with, and what loading needs on top for a moment. The engine checks loads by
it, the web lists by it what fits. Knows nothing of torch, Django, and how much memory there is.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from inference.errors import LoadFailed
from inference.pipelines import PIPELINE, pipeline_weights
from inference.protocol import Quantization

# Bytes of a number, by its name in safetensors files; other formats are of one byte.
SIZES = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "BF16": 2, "F16": 2, "I16": 2, "U16": 2}
# The families that `inference.engine.lean_forward` runs.
LEAN = frozenset({"llama", "mistral", "qwen2", "qwen3"})
# Bytes of a weight by device: 32 share a scale and an offset of 2 bytes each; of bitsandbytes', those of
# one output in 8 bits, or 64 in 4, share a scale of 4 bytes.
QUANTIZED: dict[str, dict[Quantization, float]] = {
    "cpu": {"int8": 1 + 4 / 32, "int4": 0.5 + 4 / 32},
    "cuda": {"int8": 1.0, "int4": 0.5 + 4 / 64},
}
WRITERS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
# They write as well, but with modules of their own: transformers' run them as they are.
HEARING = frozenset({"whisper"})
# Layers that nobody multiplies by as `nn.Linear`: they stay as they are when others are packed or quantized.
UNLIKE_LINEAR = frozenset({"gpt2", "openai-gpt"})
# So in names of weights: towers and what joins them to a language model; experts, which are one table.
APART = re.compile(r"vis(ual|ion)|audio|projector|connector|\bexperts\b", re.IGNORECASE)
# The last layer, where it is not the table of words.
HEADS = ("lm_head.weight", "embed_out.weight", "output.weight")
# Of a model that also speaks, the part that reads and writes is what is loaded.
UNLOADED = ("talker.", "token2wav.", "code2wav.")
# Up to so many parameters a CPU computes encoders in float32: vectors are compared by small differences.
EXACT_PARAMETERS = 1_000_000_000
LADDER: tuple[Quantization, ...] = ("none", "int8", "int4")

# So many tokens of text a model should have room for, or it is of little use.
USEFUL_CONTEXT = 2048
# What a pass works with: so many tokens of a prompt at once, logits of so many rows.
CHUNK, ROWS = 256, 8
# Memory of a tokenizer for each of its entries, measured with vocabularies of 32,000 to 152,000.
PER_ENTRY = 700
# What the first passes take for themselves: compiled kernels, threads.
PASSES = 18 * 10**6
# Pipelines that do not say: widths of the decoder, pixels of a latent picture's side.
USUAL_WIDTHS, USUAL_SAMPLE = (128, 256, 512, 512), 128
# Numbers for each pixel and each channel of the decoder's last layers, measured with the decoder of Stable
# Diffusion and FLUX; and of one that could decode videos (Qwen-Image), which keeps what each layer saw.
PER_WIDTH, PER_VIDEO_WIDTH = 9, 28
# What is taken for the first picture: kernels, threads, and what steps leave behind in the heap.
DRAWING = 115 * 10**6
LARGEST_CONFIG = 4 * 2**20
LARGEST_HEADER = 100 * 2**20


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


@dataclass(frozen=True)
class Estimate:
    """Bytes by what they are for.

    ``weights`` and ``tokenizer``, with what else a model keeps, stay as long as the model does;
    ``cache`` holds the text, ``working`` is for a pass, and ``loading`` is needed for a moment, before
    there is any text.
    """

    weights: int
    tokenizer: int
    cache: int
    working: int
    loading: int

    @property
    def resting(self) -> int:
        """What a model that nobody talks to takes."""
        return self.weights + self.tokenizer

    @property
    def needed(self) -> int:
        """What has to be free."""
        return self.resting + max(self.loading, self.cache + self.working)

    def measured(self, resting: int) -> Estimate:
        """The same with what was measured in place of what was guessed; 0 is no measurement."""
        return replace(self, weights=max(resting - self.tokenizer, 0)) if resting else self


def anatomy_read(folder: Path) -> Anatomy:
    """The anatomy of the model in ``folder``; ``LoadFailed`` if its files are missing or damaged."""
    try:
        if (folder / PIPELINE).exists():
            counts = _counts(header_read(file) for file in pipeline_weights(folder))
            return replace(anatomy_of({}, counts), picture=picture_numbers(folder))
        # Sentence-transformers' layout may have folders for its parts, numbered.
        vectors = (folder / "modules.json").exists()
        inner = folder.glob("[0-9]*_*/*.safetensors") if vectors else ()
        headers = [header_read(file) for file in (*folder.glob("*.safetensors"), *inner)]
        weights = {name: entry for header in headers for name, entry in header.items()}
        loaded = {name: entry for name, entry in weights.items() if not name.startswith(UNLOADED)}
        apart = _counts([{name: entry for name, entry in loaded.items() if APART.search(name)}])
        anatomy = anatomy_of(config_read(folder), _counts([loaded]), loaded, apart=apart.total())
        return replace(anatomy, writes=False, cached=0, encodes=True) if vectors else anatomy
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise LoadFailed("The model's files are missing or damaged. Pull the model again.") from error


def picture_numbers(folder: Path) -> int:
    """Numbers that the pipeline in ``folder`` works with while it decodes a picture of its own size, which
    takes more than its steps; 0 for what is no pipeline. ``ValueError`` for a broken configuration."""
    if not (folder / PIPELINE).exists():
        return 0
    decoder = config_read(folder / "vae")
    videos = "base_dim" in decoder
    levels = decoder.get("dim_mult" if videos else "block_out_channels")
    widths = levels if isinstance(levels, list) and levels else USUAL_WIDTHS
    denoiser = config_read(folder / "unet") or config_read(folder / "transformer")
    side = _whole(denoiser, "sample_size", default=USUAL_SAMPLE) * 2 ** (len(widths) - 1)
    last = {"width": decoder["base_dim"] if videos else widths[0]}
    width = _whole(last, "width", default=USUAL_WIDTHS[0])
    return int(side**2 * width * (PER_VIDEO_WIDTH if videos else PER_WIDTH))


def config_read(folder: Path) -> dict[str, Any]:
    """``config.json``; empty where a model has none, as image pipelines. ``ValueError`` if it is broken."""
    file = folder / "config.json"
    if not file.exists():
        return {}
    if file.stat().st_size > LARGEST_CONFIG:
        raise ValueError("config.json is too large")
    config = json.loads(file.read_bytes())
    if not isinstance(config, dict):
        raise ValueError("config.json holds no object")  # noqa: TRY004 - one error for what is not a config
    return config


def anatomy_of(
    config: Mapping[str, Any], counts: Mapping[str, int], names: Iterable[str] = (), *, apart: int = 0
) -> Anatomy:
    """The anatomy of a model with ``counts`` numbers by format, as safetensors names them.

    ``names`` of weights tell whether tables are shared; without them the configuration does.
    """
    text = _text_config(config)
    most = max(counts, key=lambda name: counts[name], default="BF16")
    hidden = _whole(text, "hidden_size", "n_embd", "d_model")
    vocabulary = _whole(text, "vocab_size")
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
        active=4 * hidden + 3 * _whole(text, "intermediate_size", "n_inner", "ffn_dim", default=4 * hidden),
        context=_whole(text, "max_position_embeddings", "n_positions", "max_seq_len"),
        tied=not any(name.endswith(HEADS) for name in names)
        if names
        else bool(config.get("tie_word_embeddings")),
        lean=kind in LEAN,
        writes=writes,
        encodes=not writes and kind not in HEARING and "architectures" in config,
        fixed="quantization_config" in config,
        apart=numbers - vocabulary * hidden if kind in UNLIKE_LINEAR else apart,
    )


def estimate(
    anatomy: Anatomy,
    *,
    device: str,
    number_size: int,
    quantization: Quantization = "none",
    context: int = 0,
    exact: bool = True,
) -> Estimate | None:
    """What a model takes on ``device`` in numbers of ``number_size`` bytes, for a text of a useful length.

    ``None`` for a quantization that it cannot have there. ``context``: a limit to its length, or 0.
    ``exact``: small encoders are computed in float32 on a CPU, since no number format is prescribed.
    """
    if quantization != "none" and not _quantizable(anatomy, device):
        return None
    if exact and device == "cpu" and anatomy.encodes and anatomy.numbers <= EXACT_PARAMETERS:
        number_size = 4
    tokens = min(USEFUL_CONTEXT, anatomy.context or USEFUL_CONTEXT, context or USEFUL_CONTEXT)
    working = CHUNK * anatomy.active * 4 + ROWS * anatomy.vocabulary * 4 * 3
    working += anatomy.picture * number_size + (DRAWING if anatomy.picture else 0)
    passes = PASSES if anatomy.writes and quantization == "none" else 0
    return Estimate(
        weights=_weights(anatomy, device, number_size, quantization),
        tokenizer=anatomy.vocabulary * PER_ENTRY + passes,
        cache=anatomy.cached * tokens * number_size,
        working=working,
        loading=_loading(anatomy, device, number_size, quantization),
    )


def _quantizable(anatomy: Anatomy, device: str) -> bool:
    """Whether a model can have fewer bits on ``device``: on a CPU what writes, on CUDA what reads too."""
    reads = _kind(device) == "cuda" and not anatomy.picture
    return _kind(device) in QUANTIZED and not anatomy.fixed and (anatomy.writes or reads)


def _kind(device: str) -> str:
    """``cuda`` of ``cuda:1``."""
    return device.partition(":")[0]


def _weights(anatomy: Anatomy, device: str, number_size: int, quantization: Quantization) -> int:
    if anatomy.fixed:
        return anatomy.stored
    table = anatomy.embedding if anatomy.writes else 0
    # The last layer is laid out for multiplying, so a table that it shares is held twice.
    twice = table if anatomy.tied and _packed(anatomy, device, number_size, quantization) else 0
    # bitsandbytes leaves the last layer as it is.
    last = table if not anatomy.tied and _kind(device) == "cuda" else 0
    kept = anatomy.embedding + anatomy.apart + last
    size = number_size if quantization == "none" else QUANTIZED[_kind(device)][quantization]
    return kept * number_size + int((anatomy.numbers + twice - kept) * size)


def _packed(anatomy: Anatomy, device: str, number_size: int, quantization: Quantization) -> bool:
    """Whether weights are laid out for the processor, which takes a copy of them."""
    lies_so = device != "cpu" or anatomy.fixed or not anatomy.writes
    return not lies_so and (quantization != "none" or number_size == 2)


def _loading(anatomy: Anatomy, device: str, number_size: int, quantization: Quantization) -> int:
    """Beside the weights as they will lie: as they are read, and a layer in float32 to be quantized.

    Numbers that are used as they are stored are read where they lie, and those that are not packed for
    the processor are used as they are read: both take no memory of their own.
    """
    packed = _packed(anatomy, device, number_size, quantization)
    as_read = device != "cpu" or number_size == anatomy.number_size or not packed
    read = 0 if as_read else anatomy.numbers * number_size
    return read + (0 if quantization == "none" else anatomy.embedding * 4 * 3)


def header_read(file: Path) -> dict[str, Any]:
    """The header of a safetensors file: 8 bytes of length, little-endian, and JSON. Source: its README."""
    with file.open("rb") as content:
        length = int.from_bytes(content.read(8), "little")
        if length > LARGEST_HEADER:
            raise ValueError("the header is too long")
        header = json.loads(content.read(length))
    header.pop("__metadata__", None)
    return header


def _counts(headers: Iterable[Mapping[str, Any]]) -> Counter[str]:
    counts = Counter[str]()
    for header in headers:
        for entry in header.values():
            counts[entry["dtype"]] += prod(entry["shape"])
    return counts


def _text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
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
    layers = _whole(text, "num_hidden_layers", "n_layer", "num_layers")
    kinds = text.get("layer_types")
    if isinstance(kinds, list):
        layers = sum("attention" in str(kind) and "linear" not in str(kind) for kind in kinds)
    heads = _whole(text, "num_attention_heads", "n_head", default=1)
    holders = _whole(text, "num_key_value_heads", "num_kv_heads", default=heads)
    size = _whole(text, "head_dim", default=hidden // heads)
    if latent := _whole(text, "qk_rope_head_dim"):
        size = (latent + _whole(text, "qk_nope_head_dim") + _whole(text, "v_head_dim")) // 2
    return 2 * layers * holders * size


def _whole(config: Mapping[str, Any], *names: str, default: int = 0) -> int:
    """The first of these that is a count; architectures have names of their own for the same."""
    values = (config.get(name) for name in names)
    return next((value for value in values if type(value) is int and 0 < value < 2**31), default)
