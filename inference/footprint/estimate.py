"""What a model takes, by its anatomy and by how the engine holds it: number format, quantization, what is
held twice, keys and values per token, what a pass works with, and what loading needs on top for a moment.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from inference.footprint.anatomy import Anatomy
from inference.protocol import Quantization

# Bytes of a weight by device: 32 share a scale and an offset of 2 bytes each; of bitsandbytes', those of
# one output in 8 bits, or 64 in 4, share a scale of 4 bytes.
QUANTIZED: dict[str, dict[Quantization, float]] = {
    "cpu": {"int8": 1 + 4 / 32, "int4": 0.5 + 4 / 32},
    "cuda": {"int8": 1.0, "int4": 0.5 + 4 / 64},
}
LADDER: tuple[Quantization, ...] = ("none", "int8", "int4")
# Up to so many parameters a CPU computes encoders in float32: vectors are compared by small differences.
EXACT_PARAMETERS = 1_000_000_000

# So many tokens of text a model should have room for, or it is of little use.
USEFUL_CONTEXT = 2048
# What a pass works with: so many tokens of a prompt at once, logits of so many rows.
CHUNK, ROWS = 256, 8
# Memory of a tokenizer for each of its entries, measured with vocabularies of 32,000 to 152,000.
PER_ENTRY = 700
# What the first passes take for themselves: compiled kernels, threads.
PASSES = 18 * 10**6
# What is taken for the first picture: kernels, threads, and what steps leave behind in the heap.
DRAWING = 115 * 10**6


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
