"""What a picture is painted on: its size, and the pictures that it is made from, as a pipeline takes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from inference.engine.pictures import decode_picture, decode_pictures
from inference.engine.signature import Signature
from inference.engine.sizes import Sizes
from inference.protocol import Draw


@dataclass(frozen=True)
class Canvas:
    """The pipeline's arguments, and how many ``pixels`` are drawn. What ``mask`` leaves black of ``source``
    stays."""

    arguments: Mapping[str, Any]
    pixels: int
    source: Image.Image | None = None
    mask: Image.Image | None = None

    def finished(self, drawn: Image.Image) -> Image.Image:
        """``drawn`` with what has to stay."""
        if self.source and self.mask:
            return Image.composite(drawn, self.source.resize(drawn.size), self.mask.resize(drawn.size))
        return drawn


def canvas_of(request: Draw, signature: Signature, sizes: Sizes, *, several: bool) -> Canvas:
    """The canvas for ``request``; ``several``: the pipeline takes a list of pictures as one input.

    ``InvalidRequest`` for what is no picture, and for a size that cannot be drawn.
    """
    width, height = request.width, request.height
    if not request.images:
        if width or height:
            width, height = width or sizes.side, height or sizes.side
        return Canvas(_size(width, height, signature), width * height or sizes.side**2)
    pictures = decode_pictures(request.images)
    if signature.takes("strength"):
        return _painted_over(pictures[0], request, signature, sizes)
    if width or height:
        width, height = sizes.fitting(pictures[0].size, width, height)
    # The picture is what is looked at, not what is painted over; the pipeline scales it.
    arguments = _size(width, height, signature) | {"image": pictures if several else pictures[0]}
    if width and signature.takes("max_area"):
        # FLUX Kontext scales whatever size is asked for to this area.
        arguments["max_area"] = width * height
    return Canvas(arguments, width * height or sizes.side**2)


def _painted_over(picture: Image.Image, request: Draw, signature: Signature, sizes: Sizes) -> Canvas:
    size = sizes.fitting(picture.size, request.width, request.height)
    source = picture.resize(size, Image.Resampling.LANCZOS)
    mask = decode_picture(request.mask).convert("L").resize(size) if request.mask else None
    given = {"image": source} | ({"mask_image": mask} if mask else {})
    return Canvas(_size(*size, signature) | given, size[0] * size[1], source, mask)


def _size(width: int, height: int, signature: Signature) -> dict[str, Any]:
    return {"width": width, "height": height} if width and signature.takes("width") else {}
