"""Image models: pictures from words and from pictures, with any of diffusers' pipelines for that.

One request is drawn at a time, in a thread of its own, so that a long picture never holds up the other
models; the others wait in line. See ``inference.engine.drawing``.
"""

from __future__ import annotations

import contextlib
import gc
import json
import time
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers.utils import logging as diffusers_logging

from inference.engine.config import EngineConfig
from inference.engine.drawing import Painter
from inference.engine.handlers.base import ModelHandler
from inference.engine.hardware import choose_device, choose_dtype, device_name, dtype_name
from inference.engine.hooks import hooked
from inference.engine.jobs import Jobs, Tell
from inference.engine.offloading import MANNERS
from inference.engine.processors import without_videos
from inference.engine.video_memory import empty_cache
from inference.engine.weights import touch
from inference.errors import CannotLoad, LoadFailed, Unsupported
from inference.footprint.files import anatomy_read
from inference.pipelines import PIPELINE, Pipeline, pipeline_of, pipeline_weights, variant_of
from inference.protocol import Done, Draw, Events, Quantization, Timings, Work

diffusers_logging.set_verbosity_error()
diffusers_logging.disable_progress_bar()


def load(folder: Path, quantization: Quantization, config: EngineConfig) -> ImageHandler:
    """The handler of the pipeline in ``folder``. Blocks for as long as reading the weights takes."""
    if quantization != "none":
        raise CannotLoad(f"Image models cannot be loaded in {quantization}. Load it as it is.")
    described = _described(folder)
    device = choose_device(config.device, anatomy_read(folder).numbers)
    variants = {variant_of(file.name) for file in pipeline_weights(folder)} - {""}
    # A few pipelines read their prompts with a model that sees, whose processor could read videos too.
    with without_videos():
        pipeline = diffusers.DiffusionPipeline.from_pretrained(
            folder,
            dtype=choose_dtype(config.precision, device),
            variant=min(variants, default=None),
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
        )
    if config.placement == "whole":
        pipeline.to(device)
    pipeline.set_progress_bar_config(disable=True)
    return ImageHandler(pipeline, described, config, device)


def import_parts(folder: Path) -> None:
    """Import the classes of the pipeline in ``folder`` and of its parts, which libraries do when asked."""
    described = _described(folder)
    for name in (*described.classes.values(), *described.parts.values()):
        getattr(diffusers, name, None) or getattr(transformers, name, None)


def _described(folder: Path) -> Pipeline:
    """What is about to be loaded, checked once more: other programs write into the Hub's cache too."""
    try:
        described = pipeline_of(json.loads((folder / PIPELINE).read_bytes()))
    except (ValueError, OSError, AttributeError) as error:
        raise LoadFailed(f"{PIPELINE} is missing or damaged. Pull the model again.") from error
    if not described.classes:
        raise CannotLoad(f"Pipelines of the family {described.family} cannot be run yet.")
    return described


class ImageHandler(ModelHandler):
    """Draws with a pipeline."""

    context_length = 0
    places = 1

    def __init__(self, pipeline: Any, described: Pipeline, config: EngineConfig, device: str) -> None:
        self.device, self.dtype = device_name(torch.device(device)), dtype_name(pipeline.dtype)
        self.size = touch(*_models(pipeline))
        self._placement = config.placement
        self._painter = Painter(pipeline, described, self._ready)
        self._jobs = Jobs(max_queue=config.max_queue)

    @property
    def manner(self) -> str:
        return MANNERS[self._placement]

    @property
    def steps(self) -> int:
        return self._painter.steps

    async def run(self, request: Work) -> Events:
        if not isinstance(request, Draw):
            raise Unsupported("This model draws pictures; it cannot do what was asked.")
        self._painter.check(request)
        async with contextlib.aclosing(self._jobs.run(lambda tell: self._draw(request, tell))) as events:
            async for event in events:
                yield event

    def _draw(self, request: Draw, tell: Tell) -> Done:
        started = time.perf_counter_ns()
        self._painter.draw(request, tell)
        return Done(reason="stop", timings=Timings(completion=time.perf_counter_ns() - started))

    def _ready(self, pipeline: Any) -> contextlib.AbstractContextManager[None]:
        """Let ``pipeline`` compute on the device while the block runs."""
        if self._placement == "whole":
            return contextlib.nullcontext()
        return hooked(pipeline, self._placement, self.device)

    def close(self) -> None:
        self._jobs.close()
        del self._painter
        gc.collect()
        empty_cache()


def _models(pipeline: Any) -> list[torch.nn.Module]:
    """The parts that have weights."""
    return [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]
