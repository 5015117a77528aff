"""What torch says when a forward pass fails, in our words."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import torch

from inference.errors import InferenceError, OutOfMemory

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def in_our_words() -> Iterator[None]:
    """Raise what goes wrong in the block as an ``InferenceError``, and log it."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise OutOfMemory("Memory ran out. Try a shorter prompt or a smaller model.") from error
    except RuntimeError as error:
        logger.exception("A forward pass failed.")
        raise InferenceError("The model failed while answering. The engine's log says more.") from error
