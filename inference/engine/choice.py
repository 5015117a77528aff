"""How a model is run: the fastest way that gives the model's own logits.

In this order: the lean forward pass, for families it knows; transformers' modules, batched;
transformers' modules, one row at a time. Decided by trying: two texts are read and gone on with in
two slots at once, and each row's logits must be those that the model gives for it alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from inference.engine.capacity import fit, free_memory
from inference.engine.lean_forward import FAMILIES, LeanForward
from inference.engine.module_forward import ModuleForward
from inference.engine.plain_forward import PlainForward
from inference.errors import InferenceError, OutOfMemory

logger = logging.getLogger(__name__)

Batched = LeanForward | ModuleForward

# Of different lengths and unlike each other; any ids will do.
TEXTS = ((1, 2, 3, 4, 5), (5, 4, 3))
NEXT = 6
# Of the spread of the logits: far above rounding in bfloat16, far below another token's logits.
TOLERANCE = 0.05
# What modules raise that do not take masks, positions or a cache as most do.
UNBATCHABLE = (InferenceError, TypeError, AttributeError, KeyError, ValueError, IndexError)


def choose_forward(model: Any, *, wanted: int, longest: int) -> Batched | PlainForward:
    """Forward passes in ``wanted`` slots (0: as many as are good) of up to ``longest`` tokens.

    One slot for a model that cannot be batched; shorter ones where memory is scarce.
    """
    expected = torch.cat([_alone(model, text) for text in TEXTS])
    for make in _candidates(model):
        forward = _tried(make, model, expected)
        if forward is not None:
            _allocate(forward, model.device.type, wanted, longest)
            return forward
    logger.warning("This model cannot be batched: it runs one request at a time.")
    return PlainForward(model, longest)


def _candidates(model: Any) -> Iterator[Callable[[Any], Batched]]:
    config = model.config
    if config.model_type in FAMILIES and config.hidden_act == "silu":
        yield LeanForward
    yield ModuleForward


def _tried(make: Callable[[Any], Batched], model: Any, expected: Tensor) -> Batched | None:
    """What ``make`` makes of ``model``, if it gives the ``expected`` logits."""
    try:
        forward = make(model)
        forward.allocate(2, 16)
        for slot, text in enumerate(TEXTS):
            forward.read(slot, 0, text)
        logits = forward.decode((0, 1), [len(text) for text in TEXTS], (NEXT, NEXT))
    except OutOfMemory:
        raise
    except UNBATCHABLE:
        logger.info("%s cannot run this model.", make, exc_info=True)
        return None
    spread = (expected.max() - expected.min()).clamp_min(1e-3)
    return forward if bool((logits - expected).abs().max() <= TOLERANCE * spread) else None


def _allocate(forward: Batched, device: str, wanted: int, longest: int) -> None:
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
def _alone(model: Any, text: tuple[int, ...]) -> Tensor:
    ids = torch.tensor([[*text, NEXT]], device=model.device)
    logits: Tensor = model(input_ids=ids, use_cache=False).logits[:, -1]
    return logits
