"""How a model is run: batched if its modules can be, else one row at a time.

Decided by trying: a short text is read and gone on with in two slots at once, and each row's
logits must be those that the model gives for it alone.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor

from inference.engine.capacity import fit, free_memory
from inference.engine.module_forward import ModuleForward
from inference.engine.plain_forward import PlainForward
from inference.errors import InferenceError, OutOfMemory

logger = logging.getLogger(__name__)

# Longer than one token and unlike each other; any ids will do.
TEXTS = ((1, 2, 3, 4, 5), (5, 4, 3))
NEXT = 6
# Of the spread of the logits: far above rounding in bfloat16, far below another token's logits.
TOLERANCE = 0.05


def choose_forward(model: Any, *, wanted: int, longest: int) -> ModuleForward | PlainForward:
    """Forward passes in ``wanted`` slots (0: as many as are good) of up to ``longest`` tokens.

    One slot for a model that cannot be batched; shorter ones where memory is scarce.
    """
    try:
        trial = ModuleForward(model, 2, 16)
        if _agrees(model, trial):
            return ModuleForward(model, *_fitting(model, trial, wanted, longest))
        logger.warning("Batched, this model gives other logits than alone: it runs one request at a time.")
    except OutOfMemory:
        raise
    except (InferenceError, TypeError, AttributeError, KeyError, ValueError, IndexError, NotImplementedError):
        logger.warning("This model cannot be batched: it runs one request at a time.", exc_info=True)
    return PlainForward(model, longest)


def _fitting(model: Any, trial: ModuleForward, wanted: int, longest: int) -> tuple[int, int]:
    device = model.device.type
    return fit(
        bytes_per_token=trial.bytes_per_token,
        free=free_memory(device),
        device=device,
        wanted=wanted,
        longest=longest,
    )


def _agrees(model: Any, forward: ModuleForward) -> bool:
    for slot, text in enumerate(TEXTS):
        forward.read(slot, 0, text)
    batched = forward.decode((0, 1), [len(text) for text in TEXTS], (NEXT, NEXT))
    alone = torch.cat([_alone(model, text) for text in TEXTS])
    spread = (alone.max() - alone.min()).clamp_min(1e-3)
    return bool((batched - alone).abs().max() <= TOLERANCE * spread)


@torch.inference_mode()
def _alone(model: Any, text: tuple[int, ...]) -> Tensor:
    ids = torch.tensor([[*text, NEXT]], device=model.device)
    logits: Tensor = model(input_ids=ids, use_cache=False).logits[:, -1]
    return logits
