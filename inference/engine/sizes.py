"""The sizes of pictures that a pipeline draws, in pixels."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

from inference.errors import InvalidRequest

MOST_PIXELS = 2048 * 2048
# Where a pipeline does not say: sides in latents, pixels of a latent's side.
SAMPLE, SCALE = 128, 8


class Sizes:
    """What sizes ``pipeline`` was made for and can draw, as its parts tell."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline

    def check(self, width: int, height: int) -> None:
        """``InvalidRequest`` for a size that cannot be drawn, with the nearest that can; 0 is a side that is
        left open."""
        if width * height > MOST_PIXELS:
            raise InvalidRequest(
                f"{width} × {height} are too many pixels; at most {MOST_PIXELS:,} are drawn."
            )
        if width % self._multiple or height % self._multiple:
            near = [max(round(side / self._multiple), 1) * self._multiple for side in (width, height)]
            raise InvalidRequest(
                f"This model draws sizes that are multiples of {self._multiple}; "
                f"the nearest to {width} × {height} is {near[0]} × {near[1]}."
            )

    def fitting(self, size: tuple[int, int], width: int, height: int) -> tuple[int, int]:
        """The size of an edit of a picture of ``size``: as asked for, else the picture's, but with no more
        pixels than the model draws by itself."""
        if width and height:
            return width, height
        scale = min(1.0, self.side / math.sqrt(size[0] * size[1]))
        if width or height:
            scale = width / size[0] if width else height / size[1]
        fit = [max(int(side * scale) // self._multiple, 1) * self._multiple for side in size]
        fitting = width or fit[0], height or fit[1]
        self.check(*fitting)
        return fitting

    @cached_property
    def side(self) -> int:
        """Width and height of the pictures that the model was made for."""
        sample = getattr(self._pipeline, "default_sample_size", None) or getattr(
            getattr(self._denoiser, "config", None), "sample_size", None
        )
        sample = max(sample) if isinstance(sample, list | tuple) else sample or SAMPLE
        return int(sample) * int(getattr(self._pipeline, "vae_scale_factor", SCALE))

    @cached_property
    def _multiple(self) -> int:
        """Of what sides are multiples: pixels of a latent, times latents of a patch."""
        processor = getattr(self._pipeline, "image_processor", None)
        scale = getattr(getattr(processor, "config", None), "vae_scale_factor", 2 * SCALE)
        # Many pipelines refuse what is no multiple of 8, whatever their parts would take.
        return math.lcm(SCALE, int(scale) * int(getattr(self._pipeline, "patch_size", 1) or 1))

    @cached_property
    def _denoiser(self) -> Any:
        return getattr(self._pipeline, "unet", None) or getattr(self._pipeline, "transformer", None)
