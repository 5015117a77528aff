"""What torch says when a forward pass fails, in our words."""

from __future__ import annotations

import contextlib
import logging
import traceback
from collections.abc import Iterator

import torch

from inference.engine.video_memory import empty_cache
from inference.errors import InferenceError, OutOfMemory

logger = logging.getLogger(__name__)


# Libraries below torch have words of their own for it: cuBLAS, CUDA, and torch on CPUs.
SCARCE = ("ALLOC_FAILED", "out of memory", "not enough memory", "can't allocate memory")


@contextlib.contextmanager
def in_our_words() -> Iterator[None]:
    """Raise what goes wrong in the block as an ``InferenceError``, and log it."""
    try:
        yield
    except RuntimeError as error:
        # The traceback holds what the failed pass worked with, for which a smaller one needs the room.
        traceback.clear_frames(error.__traceback__)
        if isinstance(error, torch.OutOfMemoryError) or any(word in str(error) for word in SCARCE):
            empty_cache()
            raise OutOfMemory("Memory ran out. Try a shorter prompt or a smaller model.") from error
        logger.exception("A forward pass failed.")
        raise InferenceError("The model failed while answering. The engine's log says more.") from error
