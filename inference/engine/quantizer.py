"""Who makes a model's weights smaller: decided by the device where it will run.

On a CPU its linear layers are swapped once it is loaded, see ``inference.engine.linear``. On CUDA
bitsandbytes quantizes each weight as it arrives, so that a model need not fit as it is: LLM.int8 in
8 bits, NF4 computed in the model's own format in 4. Tables of words and the last layer stay as they are.

LLM.int8 sets columns with outliers apart, which it looks for in all rows of a batch: one request
would change the numbers of another. It is told not to. Each row then has a scale of its own, sums
of whole numbers are exact, and rows stay independent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from transformers import BitsAndBytesConfig

from inference.errors import CannotLoad
from inference.protocol import Quantization

Quantizer = Literal["swap", "bitsandbytes"]

# bitsandbytes' CPU backend computes the same, slowly: tests load by it where there is no GPU.
QUANTIZERS: dict[str, Quantizer] = {"cpu": "swap", "cuda": "bitsandbytes"}

# It warns of each multiplication in bfloat16 that the inputs are rounded otherwise.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


def quantizer_of(device: str) -> Quantizer | None:
    """Who quantizes on ``device``, such as ``cuda:1``; ``None`` where nobody does."""
    return QUANTIZERS.get(device.partition(":")[0])


def quantized_loading(
    quantization: Quantization,
    device: str,
    dtype: torch.dtype,
    keep: Callable[[], Sequence[str]] | None = None,
) -> dict[str, Any]:
    """What ``from_pretrained`` is to be told so that it quantizes; nothing where that is done later.

    ``keep`` names all modules to leave as they are: the last layer by default. ``CannotLoad`` for a
    device that has no quantizer.
    """
    quantizer = quantizer_of(device)
    if quantization == "none" or quantizer == "swap":
        return {}
    if quantizer is None:
        raise CannotLoad(f"Models cannot be loaded in {quantization} here. Load it as it is, or on a CPU.")
    skipped = {"llm_int8_skip_modules": list(keep())} if keep else {}
    if quantization == "int8":
        config = BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=0.0, **skipped)
    else:
        config = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype, **skipped
        )
    return {"quantization_config": config}


def left_to_swap(model: Any, quantization: Quantization) -> Quantization:
    """The ``quantization`` that is still to be done to ``model``: none if its weights came quantized.

    ``CannotLoad`` where they were so in its files, in whatever way, and another is asked for.
    """
    quantizer = getattr(model, "hf_quantizer", None)
    if quantizer is None:
        return quantization
    if quantization != "none" and quantizer.pre_quantized:
        raise CannotLoad("The files of this model are quantized already. Load it as it is.")
    return "none"
