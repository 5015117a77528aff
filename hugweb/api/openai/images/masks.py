"""Masks: OpenAI's are transparent where to paint, our engine's are white there."""

from __future__ import annotations

import asyncio
from io import BytesIO

from PIL import Image, ImageOps

from conversations.pictures import DAMAGED
from inference.errors import InvalidRequest

LARGEST_PIXELS = 4096 * 4096
# Those that OpenAI takes, and no decoder more.
FORMATS = ("PNG", "WEBP", "JPEG")


async def painted_white(mask: bytes) -> bytes:
    """``mask`` as a PNG that is white where it is transparent; one without transparency stays as it is."""
    return await asyncio.to_thread(_painted_white, mask)


def _painted_white(mask: bytes) -> bytes:
    try:
        with Image.open(BytesIO(mask), formats=FORMATS) as image:
            if image.width * image.height > LARGEST_PIXELS:
                raise InvalidRequest("The mask is too large.", param="mask")
            if not image.has_transparency_data:
                return mask
            alpha = image.convert("RGBA").getchannel("A")
    # The last is what Pillow says to a palette that is not there.
    except (*DAMAGED, Image.DecompressionBombError, AssertionError) as error:
        raise InvalidRequest("The mask is not an image.", param="mask") from error
    painted = BytesIO()
    ImageOps.invert(alpha).save(painted, "PNG")
    return painted.getvalue()
