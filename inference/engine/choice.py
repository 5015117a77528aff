"""How a model is run: the fastest way that gives the model's own logits.

In this order: the lean forward pass, for families it knows; transformers' modules, batched;
transformers' modules, one row at a time. Decided by trying: two texts are read and gone on with in
two slots at once, and each row's logits must be those that the model gives for it alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from inference.engine.capacity import fit, free_memory
from inference.engine.kernels.making import KernelsInTheMaking
from inference.engine.lean_forward import FAMILIES, LeanForward
from inference.engine.module_forward import ModuleForward
from inference.engine.plain_forward import PlainForward
from inference.engine.promise import Promise, takes_kernels
from inference.engine.quantizer import left_to_swap
from inference.errors import CannotLoad, InferenceError, OutOfMemory
from inference.protocol import Quantization

logger = logging.getLogger(__name__)

Batched = LeanForward | ModuleForward
NONE = KernelsInTheMaking()
Texts = Sequence[Sequence[int]]

# Ordinary words: on odd ones, rounding alone can move a model in bfloat16 far.
SENTENCES = ("The quick brown fox jumps over the lazy dog. It was a warm day.", "Paris is the capital of")
MOST_TOKENS = 16
# How far logits may lie from the model's own, relative to their spread (root mean squares).
# Measured on SmolLM2 135M: 0.03 to 0.07 in bfloat16, 0.16 to 0.28 in 8 bits and 0.16 to 0.19 in 4.
TOLERANCES: dict[Quantization, float] = {"none": 0.2, "int8": 0.6, "int4": 0.6}
# Rotary frequencies that transformers chooses by the furthest position.
LENGTHWISE = frozenset({"dynamic", "longrope"})
# What modules raise that do not take masks, positions or a cache as most do.
UNBATCHABLE = (InferenceError, RuntimeError, TypeError, AttributeError, KeyError, ValueError, IndexError)


def trial_texts(encode: Callable[[str], Sequence[int]]) -> Texts:
    """Two texts of different length to try a model with, at least two tokens each."""
    texts = [list(encode(sentence))[:MOST_TOKENS] for sentence in SENTENCES]
    return [text if len(text) > 1 else [0, 0] for text in texts]


def choose_forward(
    model: Any,
    texts: Texts,
    *,
    wanted: int,
    longest: int,
    quantization: Quantization = "none",
    making: KernelsInTheMaking = NONE,
) -> Batched | PlainForward:
    """Forward passes for ``model``, tried with ``texts``.

    ``wanted`` slots (0: as many as are good) of up to ``longest`` tokens; one for a model that cannot
    be batched, shorter ones where memory is scarce. Kernels make passes on CPUs faster: those still in the
    ``making`` are swapped in when they are made, if they pass the same trial, and weights quantized then.
    ``CannotLoad`` for a ``quantization`` that this model cannot have here.
    """
    expected = torch.cat([_alone(model, text) for text in texts])
    to_swap = left_to_swap(model, quantization)
    for make in _candidates(model, to_swap, making):
        forward = _tried(make, model, texts, expected, TOLERANCES[quantization])
        if forward:
            allocate(forward, str(model.device), wanted, longest)
            distance = partial(_distance, texts=texts, expected=expected)
            forward.expect(promise(making, distance, TOLERANCES[quantization]))
            return forward
    if to_swap != "none":
        raise CannotLoad(f"This model cannot be loaded in {quantization} here. Load it as it is.")
    logger.warning("This model cannot be batched: it runs one request at a time.")
    return PlainForward(model, longest)


def _candidates(
    model: Any, quantization: Quantization, making: KernelsInTheMaking
) -> Iterator[Callable[[Any], Batched]]:
    made = with_kernels(model, quantization, making)
    alike = model.config.model_type in FAMILIES and model.config.hidden_act == "silu"
    if alike and not _turns_by_length(model):
        yield partial(LeanForward, quantization=quantization, **made)
    yield partial(ModuleForward, quantization=quantization, **made)


def with_kernels(model: Any, quantization: Quantization, making: KernelsInTheMaking) -> dict[str, Any]:
    """What a forward pass of ``model`` is made with: the kernels, if they are there; else, whether it waits
    with ``quantization`` until they are."""
    # In this order: kernels that are made in between are no reason to go without.
    pending, kernels = making.pending, making.made
    later = pending and not kernels and quantization != "none" and takes_kernels(model)
    return {"kernels": kernels, "later": later}


def _turns_by_length(model: Any) -> bool:
    """Whether rotary frequencies depend on the longest row of a pass: the pass by modules bounds that."""
    return getattr(model.model.rotary_emb, "rope_type", "default") in LENGTHWISE


def _tried(
    make: Callable[[Any], Batched], model: Any, texts: Texts, expected: Tensor, tolerance: float
) -> Batched | None:
    """What ``make`` makes of ``model``, if that runs and gives the logits ``expected``."""
    forward = None
    try:
        forward = make(model)
        if _distance(forward, texts, expected) <= tolerance:
            if isinstance(forward, ModuleForward):
                forward.settle()
            return forward
    except OutOfMemory:
        raise
    except UNBATCHABLE:
        logger.info("%s cannot run this model.", make, exc_info=True)
    if isinstance(forward, ModuleForward):
        forward.undo()
    return None


def promise(making: KernelsInTheMaking, distance: Callable[[Any], float], tolerance: float) -> Promise:
    """Kernels in the ``making`` for a model that others are using already: right for a forward pass whose
    ``distance`` to the model's own logits is within ``tolerance``."""

    def fits(forward: Any) -> bool:
        try:
            return distance(forward) <= tolerance
        except UNBATCHABLE:
            logger.info("%s cannot run this model.", forward, exc_info=True)
            return False

    return Promise(making, fits)


def _distance(forward: Batched, texts: Texts, expected: Tensor) -> float:
    """How far the logits of ``forward`` lie from those ``expected``, relative to their spread."""
    forward.allocate(len(texts), MOST_TOKENS)
    for slot, text in enumerate(texts):
        forward.read(slot, 0, text[:-1])
    positions, last = [len(text) - 1 for text in texts], [text[-1] for text in texts]
    logits = forward.decode(range(len(texts)), positions, last)
    spread = (expected - expected.mean(dim=1, keepdim=True)).norm(dim=1).clamp_min(1e-6)
    return float(((logits.float() - expected).norm(dim=1) / spread).max())


def allocate(forward: Batched, device: str, wanted: int, longest: int) -> None:
    forward.allocate(
        *fit(
            bytes_per_token=forward.bytes_per_token,
            free=free_memory(device),
            device=device,
            wanted=wanted,
            longest=longest,
        )
    )


@torch.inference_mode()
def _alone(model: Any, text: Sequence[int]) -> Tensor:
    ids = torch.tensor([text], device=model.device)
    logits: Tensor = model(input_ids=ids, use_cache=False).logits[:, -1]
    return logits.float()
