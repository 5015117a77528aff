"""accelerate's hooks on a pipeline: they bring weights to the device for as long as these compute."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from inference.engine.config import Placement
from inference.engine.video_memory import empty_cache


@contextmanager
def hooked(pipeline: Any, placement: Placement, device: str) -> Iterator[None]:
    """Let ``pipeline``, whose weights lie in the RAM, compute on ``device`` while the block runs.

    Afterwards all of it is in the RAM again, whatever ended the block: pipelines give up in the middle of
    a step, and others are made of the same parts.
    """
    # Weights that move in inference mode may stay tensors of its kind, which little can be done with.
    with torch.inference_mode(mode=False), torch.no_grad():
        try:
            if placement == "parts":
                pipeline.enable_model_cpu_offload(device=device)
            else:
                pipeline.enable_sequential_cpu_offload(device=device)
            yield
        finally:
            pipeline.remove_all_hooks()
            pipeline.to("cpu", silence_dtype_warnings=True)
            empty_cache()
