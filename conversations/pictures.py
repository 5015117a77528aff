"""What an uploaded file is: found out by decoding it, within limits, before it is stored.

The engine's limits (``inference.engine.pictures``) are at least as wide, so what passes here can be
read there. Formats are those that every browser shows. Knows nothing of people and of files on disk.
"""

from __future__ import annotations

import io
import struct
import threading
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from inference.errors import InvalidRequest, TooLarge

TYPES = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
}
MOST_BYTES = 16 * 2**20
MOST_PIXELS = 64_000_000
LONGEST_TO_SHORTEST = 100
# A JPEG is decoded at an eighth of its size where that is enough to see that it is whole.
ENOUGH_SIDE = 512
# What Pillow's readers raise for files that are damaged or made to do damage, and for what is no picture.
DAMAGED = (
    *(OSError, ValueError, SyntaxError, EOFError, TypeError, LookupError, ArithmeticError),
    *(AttributeError, NotImplementedError, MemoryError, struct.error),
)
# Decoding takes a few bytes a pixel: one at a time, however many are sent at once.
_ONE = threading.Lock()


class Found(NamedTuple):
    """What a file is; width and height in pixels, as stored."""

    type: str
    width: int
    height: int


def picture_check(data: bytes) -> Found:
    """What the picture ``data`` is.

    ``TooLarge`` for too many bytes or pixels, ``InvalidRequest`` for what is no picture.
    """
    if len(data) > MOST_BYTES:
        raise TooLarge(f"The picture is larger than {MOST_BYTES // 2**20} MB. Make it smaller.")
    try:
        with _ONE, Image.open(io.BytesIO(data), formats=tuple(TYPES)) as opened:
            found = Found(TYPES[str(opened.format)], *opened.size)
            _check_size(found)
            opened.draft(None, (ENOUGH_SIDE, ENOUGH_SIDE))
            opened.load()
            return found
    except UnidentifiedImageError as error:
        raise InvalidRequest(
            "This is no picture that can be read. Send PNG, JPEG, WebP, GIF or BMP."
        ) from error
    except Image.DecompressionBombError as error:
        raise _too_many_pixels() from error
    except DAMAGED as error:
        raise InvalidRequest("The picture is damaged. Save it again, as PNG or JPEG.") from error


def _check_size(found: Found) -> None:
    short, long = sorted((found.width, found.height))
    if short * long > MOST_PIXELS:
        raise _too_many_pixels()
    if short < 1 or long > LONGEST_TO_SHORTEST * short:
        raise InvalidRequest(f"The picture is {found.width} × {found.height} pixels: no model can see that.")


def _too_many_pixels() -> TooLarge:
    return TooLarge(f"The picture has more than {MOST_PIXELS // 10**6} million pixels. Make it smaller.")
