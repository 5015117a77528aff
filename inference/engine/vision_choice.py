"""How a model that sees is run: batched where that gives the model's own logits, else one at a time.

Decided by trying, as for text: two prompts with pictures are read and gone on with in two slots at
once, and each row's logits must be those that the model gives for it alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import BatchFeature

from inference.engine.choice import NONE, TOLERANCES, UNBATCHABLE, allocate, promise, with_kernels
from inference.engine.kernels.making import KernelsInTheMaking
from inference.engine.media import Media, Merger
from inference.engine.plain_vision import PlainMedia, PlainVisionForward
from inference.engine.quantizer import left_to_swap
from inference.engine.vision_forward import VisionForward
from inference.engine.vision_prompts import Inputs, Processed
from inference.errors import CannotLoad, OutOfMemory
from inference.protocol import Quantization

logger = logging.getLogger(__name__)

Perceive = Callable[[Inputs, str], Any]
# What a processor makes of pictures and of sounds.
SENSED = ("pixel_values", "input_features")


def choose_vision(
    model: Any,
    trials: Sequence[Processed],
    *,
    wanted: int,
    longest: int,
    quantization: Quantization = "none",
    making: KernelsInTheMaking = NONE,
) -> tuple[VisionForward | PlainVisionForward, Perceive]:
    """Forward passes for ``model``, tried with ``trials``, and what makes the media for them.

    ``wanted`` slots (0: as many as are good) of up to ``longest`` tokens; one for a model that cannot
    be batched. Kernels still in the ``making`` are swapped in later, as for text. ``CannotLoad`` for a
    ``quantization`` that this model cannot have here.
    """
    trials = [_placed(model, trial.inputs) for trial in trials]
    expected, to_swap = _alone(model, trials), left_to_swap(model, quantization)
    for by_layer in (True, False):
        made = with_kernels(model, to_swap, making)
        make = partial(VisionForward, by_layer=by_layer, quantization=to_swap, **made)
        if found := _tried(make, model, trials, expected, TOLERANCES[quantization], making):
            forward, merger = found
            allocate(forward, str(model.device), wanted, longest)
            return forward, partial(_merged, merger, model)
    if to_swap != "none":
        raise CannotLoad(f"This model cannot be loaded in {quantization} here. Load it as it is.")
    logger.warning("This model cannot be batched: it runs one request at a time.")
    return PlainVisionForward(model, longest), lambda inputs, _: PlainMedia(_placed(model, inputs).inputs)


def _tried(
    make: Callable[..., VisionForward],
    model: Any,
    trials: Sequence[Processed],
    expected: tuple[Tensor, list[int]],
    tolerance: float,
    making: KernelsInTheMaking,
) -> tuple[VisionForward, Merger] | None:
    """What ``make`` makes of ``model``, and how it sees, if that runs and gives the logits ``expected``, as
    kernels in the ``making`` are to."""
    forward = None
    try:
        merger = Merger(model)
        media = [merger.merge(trial.inputs) for trial in trials]
        forward = make(model, len(media[0].positions))
        logits, words = expected
        distance = partial(_distance, trials=trials, media=media, expected=logits, words=words)
        if distance(forward) <= tolerance:
            forward.settle()
            forward.expect(promise(making, distance, tolerance))
            return forward, merger
    except OutOfMemory:
        raise
    except (*UNBATCHABLE, StopIteration, UnboundLocalError):
        logger.info("This model cannot be batched this way.", exc_info=True)
    if forward:
        forward.undo()
    return None


def _merged(merger: Merger, model: Any, inputs: Inputs, owner: str) -> Media | None:
    """The media of a prompt, if there is more in it than text."""
    senses = any(inputs.get(name) is not None for name in SENSED)
    return merger.merge(_placed(model, inputs).inputs, owner) if senses else None


def _placed(model: Any, inputs: Inputs) -> Processed:
    """``inputs`` where the model is, in its precision."""
    return Processed(BatchFeature(dict(inputs)).to(model.device, model.dtype))


def _alone(model: Any, trials: Sequence[Processed]) -> tuple[Tensor, list[int]]:
    """The model's own logits after each prompt and after the likeliest next word; and these words."""
    forward = PlainVisionForward(model, 0)
    first, second, words = [], [], []
    for trial in trials:
        first.append(forward.read(0, 0, trial, media=PlainMedia(trial.inputs)))
        words.append(int(first[-1].argmax()))
        second.append(forward.decode([0], [len(trial)], words[-1:]))
    return torch.cat(first + second).float(), words


def _distance(
    forward: VisionForward,
    trials: Sequence[Processed],
    media: Sequence[Media],
    expected: Tensor,
    words: Sequence[int],
) -> float:
    """How far the logits of ``forward`` lie from those ``expected``, relative to their spread."""
    forward.allocate(len(trials), max(map(len, trials)) + 1)
    logits = []
    for slot, (trial, seen) in enumerate(zip(trials, media, strict=True)):
        half = seen.cut_after(len(trial) // 2)
        if half < len(trial):
            forward.read(slot, 0, trial[:half], media=seen)
        else:
            half = 0
        logits.append(forward.read(slot, half, trial[half:], media=seen))
    logits.append(forward.decode(range(len(trials)), list(map(len, trials)), words))
    spread = (expected - expected.mean(dim=1, keepdim=True)).norm(dim=1).clamp_min(1e-6)
    return float(((torch.cat(logits).float() - expected).norm(dim=1) / spread).max())
