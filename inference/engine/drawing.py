"""What a request for pictures asks of a diffusers pipeline, and the pictures that come of it.

Pipelines say by their signatures what they take; what a request asks beyond that is refused. Pictures
of a request are drawn one after the other, each from a seed of its own, so that each is the same alone
and among others. Runs in the thread of whoever calls. Knows nothing of requests that wait.
"""

from __future__ import annotations

import inspect
import io
import logging
import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import diffusers
import numpy
import torch
from diffusers.utils import import_utils
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from inference.engine.failures import in_our_words
from inference.engine.pictures import decode_picture, decode_pictures
from inference.engine.sizes import Sizes
from inference.errors import InferenceError, InvalidRequest, OutOfMemory, Unsupported
from inference.pipelines import Pipeline, Task
from inference.protocol import Draw, Drawing, Picture

# Pipelines are loaded as they are; with it they would import bitsandbytes, for a second and 50 MB.
import_utils._bitsandbytes_available = False

LONGEST_PROMPT = 32_768
# Larger pictures are decoded in tiles, which takes less memory.
TILED_PIXELS = 1280 * 1280
# How much a negative prompt counts where guidance is off by default, as in Qwen-Image's own examples.
TRUE_GUIDANCE = 4.0
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
        if len(request.images) > 1 and (task == "inpaint" or self._described.family not in SEVERAL):
            raise InvalidRequest("This model takes one picture at a time.")
        if len(request.prompt) + len(request.negative_prompt) > LONGEST_PROMPT:
            raise InvalidRequest(f"The prompt is longer than {LONGEST_PROMPT} characters. Shorten it.")
        self._sizes.check(request.width, request.height)
        self._check_options(request, _parameters(getattr(diffusers, self._described.classes[task])))

    def draw(self, request: Draw, show: Show) -> None:
        """Draw all pictures of ``request``, and show each step and each picture.

        What ``show`` raises ends it with the step. ``InvalidRequest`` for what is no picture.
        """
        self.check(request)
        pipeline = self._pipeline(_task(request))
        canvas = self._canvas(request, pipeline)
        first = secrets.randbits(32) if request.seed is None else request.seed
        parameters = _parameters(type(pipeline))
        planned = self._planned(request, parameters)
        show(Drawing(done=0, total=planned * request.count))
        for number in range(request.count):
            # Seeds are 64 bits; the one after the highest is the lowest.
            seed = (first + number + 2**63) % 2**64 - 2**63

            def on_step(running: Any, step: int, _: Any, values: Any, *, before: int = number) -> Any:
                self.steps += 1
                each = max(getattr(running, "num_timesteps", 0), step + 1)
                show(Drawing(done=before * each + step + 1, total=request.count * each))
                return values

            arguments = {**canvas.arguments, **self._options(request, parameters)}
            arguments["generator"] = torch.Generator("cpu").manual_seed(seed)
            picture = canvas.finished(self._run(pipeline, arguments, on_step))
            show(Picture(data=_png(picture, request, seed), seed=seed))

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

    def _canvas(self, request: Draw, pipeline: Any) -> Canvas:
        takes_size = "width" in _parameters(type(pipeline))
        width, height = request.width, request.height
        if not request.images:
            if width or height:
                width, height = width or self._sizes.side, height or self._sizes.side
            self._tile(width * height or self._sizes.side**2)
            return Canvas(_sizes(width, height, takes_size))
        pictures = decode_pictures(request.images)
        if "strength" not in _parameters(type(pipeline)):
            # The picture is what is looked at, not what is painted over; the pipeline scales it.
            self._tile(width * height or self._sizes.side**2)
            several = self._described.family in SEVERAL
            more: dict[str, Any] = {"image": pictures if several else pictures[0]}
            if width and height and "max_area" in _parameters(type(pipeline)):
                # FLUX Kontext scales whatever size is asked for to this area.
                more["max_area"] = width * height
            return Canvas(_sizes(width, height, takes_size) | more)
        size = self._sizes.fitting(pictures[0].size, width, height)
        self._tile(size[0] * size[1])
        source = pictures[0].resize(size, Image.Resampling.LANCZOS)
        mask = decode_picture(request.mask).convert("L").resize(size) if request.mask else None
        given = {"image": source} | ({"mask_image": mask} if mask else {})
        return Canvas(_sizes(*size, takes_size) | given, source, mask)

    def _check_options(self, request: Draw, parameters: Mapping[str, Any]) -> None:
        if request.negative_prompt and "negative_prompt" not in parameters:
            raise Unsupported("This model takes no negative prompt.")
        if (request.width or request.height) and not {"width", "strength"}.intersection(parameters):
            raise Unsupported("This model chooses the size by itself. Leave it out.")
        if request.guidance is not None and not {"guidance_scale", "true_cfg_scale"}.intersection(parameters):
            raise Unsupported("This model takes no guidance.")
        if request.strength is not None and "strength" not in parameters:
            raise Unsupported("This model takes no strength here.")
        if not self._planned(request, parameters):
            raise InvalidRequest("Of so few steps nothing is left at this strength. Raise one of them.")

    @staticmethod
    def _planned(request: Draw, parameters: Mapping[str, Any]) -> int:
        """Steps of one picture, as far as it is known before; some schedulers make one more."""
        steps: int = request.steps or parameters["num_inference_steps"].default
        if "strength" not in parameters:
            return steps
        strength = parameters["strength"].default if request.strength is None else request.strength
        return min(int(steps * strength), steps)

    def _options(self, request: Draw, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments that the request's options are."""
        options: dict[str, Any] = {"prompt": request.prompt}
        if request.steps:
            options["num_inference_steps"] = request.steps
        if request.strength is not None:
            options["strength"] = request.strength
        if request.negative_prompt:
            options["negative_prompt"] = request.negative_prompt
        # Two kinds of guidance: distilled into the model, or true, against the negative prompt.
        true = "true_cfg_scale" in parameters and self._described.family.startswith("qwenimage")
        if request.guidance is not None:
            options["true_cfg_scale" if true else "guidance_scale"] = request.guidance
        if true:
            # Without one there would be no guidance at all.
            options["negative_prompt"] = request.negative_prompt or " "
        elif request.negative_prompt and "true_cfg_scale" in parameters:
            options["true_cfg_scale"] = TRUE_GUIDANCE
        return options

    def _tile(self, pixels: int) -> None:
        vae: Any = getattr(self._main, "vae", None)
        if hasattr(vae, "enable_tiling"):
            vae.enable_tiling() if pixels > TILED_PIXELS else vae.disable_tiling()

    @cached_property
    def _only_fills(self) -> bool:
        """Whether the model reads a mask and what it hides beside the latents, as Stable Diffusion's
        inpainting models do."""
        reads = getattr(getattr(self._main, "unet", None), "config", {}).get("in_channels", 0)
        return bool(reads == 9)


@dataclass(frozen=True)
class Canvas:
    """Size and pictures as the pipeline takes them. What ``mask`` leaves black of ``source`` stays."""

    arguments: Mapping[str, Any]
    source: Image.Image | None = None
    mask: Image.Image | None = None

    def finished(self, drawn: Image.Image) -> Image.Image:
        if self.source and self.mask:
            return Image.composite(drawn, self.source.resize(drawn.size), self.mask.resize(drawn.size))
        return drawn


def _task(request: Draw) -> Task:
    if request.mask:
        return "inpaint"
    return "image" if request.images else "text"


def _parameters(kind: Any) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(kind.__call__).parameters


def _sizes(width: int, height: int, takes_size: bool) -> dict[str, Any]:
    return {"width": width, "height": height} if takes_size and width else {}


def _png(picture: Image.Image, request: Draw, seed: int) -> bytes:
    """A PNG that says how it was made, in the text ``parameters``, where other programs look for it."""
    lines = [request.prompt]
    if request.negative_prompt:
        lines.append(f"Negative prompt: {request.negative_prompt}")
    settings = {
        "Steps": request.steps or None,
        "CFG scale": request.guidance,
        "Seed": seed,
        "Size": f"{picture.width}x{picture.height}",
        "Denoising strength": request.strength,
        "Model": request.model.name,
    }
    lines.append(", ".join(f"{name}: {value}" for name, value in settings.items() if value is not None))
    info = PngInfo()
    info.add_text("parameters", "\n".join(lines).replace("\0", ""))
    file = io.BytesIO()
    picture.save(file, "PNG", pnginfo=info)
    return file.getvalue()
