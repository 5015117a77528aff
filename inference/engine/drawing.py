"""Drawing with a diffusers pipeline: from what is asked for to the pictures that come of it.

Pictures of a request are drawn one after the other, each from a seed of its own, so that each is the same
alone and among others. Runs in the thread of whoever calls. Knows nothing of requests that wait.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any

import diffusers
import numpy
import torch
from diffusers.utils import import_utils
from PIL import Image

from inference.engine.canvas import canvas_of
from inference.engine.failures import in_our_words
from inference.engine.png import png_of
from inference.engine.signature import Signature
from inference.engine.sizes import Sizes
from inference.errors import InferenceError, InvalidRequest, OutOfMemory, Unsupported
from inference.pipelines import Pipeline, Task
from inference.protocol import Draw, Drawing, Picture

# Pipelines are loaded as they are; with it they would import bitsandbytes, for a second and 50 MB.
import_utils._bitsandbytes_available = False

LONGEST_PROMPT = 32_768
# Larger pictures are decoded in tiles, which takes less memory.
TILED_PIXELS = 1280 * 1280
# Pipelines that take several pictures as one input; others would make an edit of each.
SEVERAL = frozenset({"flux2", "flux2-klein", "qwenimage-edit-plus", "qwenimage21", "z-image-omni"})
LACKING: dict[Task, str] = {
    "text": "This model edits pictures: send one with the prompt.",
    "image": "This model draws from words alone; it cannot edit pictures.",
    "inpaint": "This model cannot paint into a part of a picture. Leave the mask out.",
}
AUTO: dict[Task, Any] = {
    "text": diffusers.AutoPipelineForText2Image,
    "image": diffusers.AutoPipelineForImage2Image,
    "inpaint": diffusers.AutoPipelineForInpainting,
}

logger = logging.getLogger(__name__)

Show = Callable[[Drawing | Picture], None]
# Makes a pipeline ready to compute while a block runs.
Ready = Callable[[Any], AbstractContextManager[None]]


class Painter:
    """Draws with one pipeline's parts, whichever of its family's tasks is asked for."""

    def __init__(self, pipeline: Any, described: Pipeline, ready: Ready) -> None:
        self._described = described
        self._ready = ready
        self._pipelines = {type(pipeline).__name__: pipeline}
        self._main = pipeline
        self._sizes = Sizes(pipeline)
        self._scheduler = getattr(pipeline, "scheduler", None)
        self.steps = 0

    def check(self, request: Draw) -> None:
        """Refuse what this model cannot do or nobody can mean, without looking into pictures."""
        task = _task(request)
        if task not in self._described.classes:
            raise Unsupported(LACKING[task])
        if request.mask and not request.images:
            raise InvalidRequest("A mask needs the picture that it belongs to.")
        if self._only_fills and task != "inpaint":
            raise Unsupported("This model fills in a part of a picture: send one with a mask.")
        if len(request.images) > 1 and (task == "inpaint" or not self._takes_several):
            raise InvalidRequest("This model takes one picture at a time.")
        if len(request.prompt) + len(request.negative_prompt) > LONGEST_PROMPT:
            raise InvalidRequest(f"The prompt is longer than {LONGEST_PROMPT} characters. Shorten it.")
        self._sizes.check(request.width, request.height)
        self._signature(getattr(diffusers, self._described.classes[task])).check(request)

    def draw(self, request: Draw, show: Show) -> None:
        """Draw all pictures of ``request``, and show each step and each picture.

        What ``show`` raises ends it with the step. ``InvalidRequest`` for what is no picture.
        """
        self.check(request)
        pipeline = self._pipeline(_task(request))
        signature = self._signature(type(pipeline))
        canvas = canvas_of(request, signature, self._sizes, several=self._takes_several)
        self._tile(canvas.pixels)
        first = secrets.randbits(32) if request.seed is None else request.seed
        show(Drawing(done=0, total=signature.steps(request) * request.count))
        for number in range(request.count):
            # Seeds are 64 bits; the one after the highest is the lowest.
            seed = (first + number + 2**63) % 2**64 - 2**63

            def on_step(running: Any, step: int, _: Any, values: Any, *, before: int = number) -> Any:
                self.steps += 1
                each = max(getattr(running, "num_timesteps", 0), step + 1)
                show(Drawing(done=before * each + step + 1, total=request.count * each))
                return values

            arguments = {**canvas.arguments, **signature.options(request)}
            arguments["generator"] = torch.Generator("cpu").manual_seed(seed)
            picture = canvas.finished(self._run(pipeline, arguments, on_step))
            show(Picture(data=png_of(picture, request, seed), seed=seed))

    def _run(self, pipeline: Any, arguments: Mapping[str, Any], on_step: Callable[..., Any]) -> Image.Image:
        if self._scheduler is not None:
            # Schedulers remember, also steps of a picture that was given up.
            pipeline.scheduler = type(self._scheduler).from_config(self._scheduler.config)
        try:
            with in_our_words(), torch.inference_mode(), self._ready(pipeline):
                result = pipeline(**arguments, output_type="np", callback_on_step_end=on_step)
        except OutOfMemory as error:
            raise OutOfMemory("Memory ran out. Ask for a smaller picture.") from error
        except ValueError as error:
            # What a pipeline says of its inputs before it begins, as of pictures that are too small for it.
            raise InvalidRequest(f"The model cannot draw this: {str(error)[:300]}") from error
        if any(getattr(result, "nsfw_content_detected", None) or ()):
            raise InvalidRequest("The model's safety checker withholds the picture. Ask for another one.")
        values = numpy.asarray(result.images[0])
        if not numpy.isfinite(values).all():
            raise InferenceError(
                "The model's numbers overflowed, so there is no picture. "
                "Try again with HUGGINGFACE_PRECISION=float32."
            )
        return Image.fromarray((values * 255).round().clip(0, 255).astype(numpy.uint8))

    def _pipeline(self, task: Task) -> Any:
        """The pipeline for ``task``; all share their parts."""
        name = self._described.classes[task]
        if name not in self._pipelines:
            try:
                self._pipelines[name] = AUTO[task].from_pipe(self._main)
            except ValueError as error:
                # Of this family some can and some cannot.
                logger.warning("No %s of %s.", name, type(self._main).__name__, exc_info=True)
                raise Unsupported(LACKING[task]) from error
            self._pipelines[name].set_progress_bar_config(disable=True)
        return self._pipelines[name]

    def _tile(self, pixels: int) -> None:
        vae: Any = getattr(self._main, "vae", None)
        if hasattr(vae, "enable_tiling"):
            vae.enable_tiling() if pixels > TILED_PIXELS else vae.disable_tiling()

    def _signature(self, kind: Any) -> Signature:
        return Signature(kind, self._described.family)

    @property
    def _takes_several(self) -> bool:
        return self._described.family in SEVERAL

    @cached_property
    def _only_fills(self) -> bool:
        """Whether the model reads a mask and what it hides beside the latents, as Stable Diffusion's
        inpainting models do."""
        reads = getattr(getattr(self._main, "unet", None), "config", {}).get("in_channels", 0)
        return bool(reads == 9)


def _task(request: Draw) -> Task:
    if request.mask:
        return "inpaint"
    return "image" if request.images else "text"
