"""From the bytes of a picture to its pixels, whoever sent them: bounded, upright, in RGB on white.

Pillow reads the formats that people have, and no others: some of its plugins run programs or are
old. What a file announces is checked before any pixel is decoded. Of an animation the first frame is
read. Knows nothing of models.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence

import numpy
from PIL import Image, ImageOps, UnidentifiedImageError

from inference.errors import InvalidRequest, TooLarge

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
MOST_BYTES = 32 * 2**20
# A good telephone's picture has 50 million.
MOST_PIXELS = 64_000_000
MOST_PICTURES = 32
# Models look at less; what is kept of a larger picture is this.
KEPT_SIDE = 2048
LONGEST_TO_SHORTEST = 100
# Pixels of more than 8 bits that are brought to 8 at a time.
BAND_PIXELS = 2**20
# What Pillow's readers raise for files that are damaged or made to do damage.
DAMAGED = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    NotImplementedError,
    MemoryError,
    struct.error,
)


def decode_pictures(files: Sequence[bytes]) -> list[Image.Image]:
    """The pictures in ``files``; errors as ``decode_picture``'s, and ``TooLarge`` for too many."""
    if len(files) > MOST_PICTURES:
        raise TooLarge(f"There are {len(files)} pictures; at most {MOST_PICTURES} are taken at a time.")
    return [decode_picture(file) for file in files]


def decode_picture(data: bytes) -> Image.Image:
    """The picture in a file, as RGB, at most ``KEPT_SIDE`` wide and high.

    ``TooLarge`` for too many bytes or pixels, ``InvalidRequest`` for what is no picture.
    """
    if len(data) > MOST_BYTES:
        raise TooLarge(f"The picture is {len(data)} bytes long; at most {MOST_BYTES} are taken.")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            _check_size(*opened.size)
            # A JPEG can be decoded at a half, a quarter or an eighth of its size.
            opened.draft(None, (KEPT_SIDE, KEPT_SIDE))
            opened.load()
            return _plain(opened)
    except UnidentifiedImageError as error:
        raise InvalidRequest(
            "The picture is in no format that can be read. Send PNG, JPEG, WebP, GIF, BMP or TIFF."
        ) from error
    except Image.DecompressionBombError as error:
        raise TooLarge(f"The picture has too many pixels; at most {MOST_PIXELS:,} are taken.") from error
    except DAMAGED as error:
        raise InvalidRequest("The picture is damaged. Save it again, as PNG or JPEG.") from error


def _check_size(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise TooLarge(f"The picture is {width} × {height} pixels; at most {MOST_PIXELS:,} are taken.")
    if min(width, height) < 1 or max(width, height) > LONGEST_TO_SHORTEST * min(width, height):
        raise InvalidRequest(f"The picture is {width} × {height} pixels: no model can see that.")


def _plain(picture: Image.Image) -> Image.Image:
    # Smaller first: turning and blending then take little, whatever came.
    upright = ImageOps.exif_transpose(picture) or picture
    eight = _eight_bits(upright)
    eight.thumbnail((KEPT_SIDE, KEPT_SIDE))
    if eight.has_transparency_data:
        clear = eight.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
    return eight.convert("RGB")


def _eight_bits(picture: Image.Image) -> Image.Image:
    """``picture``; one of more than 8 bits a channel brought to 8, which Pillow would cut off."""
    if not picture.mode.startswith(("I", "F")):
        return picture
    values = numpy.asarray(picture)
    least, most = numpy.fmin.reduce(values, axis=None), numpy.fmax.reduce(values, axis=None)
    top = 65535.0 if picture.mode.startswith("I") and most > 255 else 255.0
    if picture.mode == "F" and least >= 0 and most <= 1:
        top = 1.0
    eight = numpy.empty(values.shape, numpy.uint8)
    # In bands: what is computed with takes many times as much as the picture.
    rows = max(BAND_PIXELS // picture.width, 1)
    for start in range(0, picture.height, rows):
        band = numpy.nan_to_num(values[start : start + rows].astype(numpy.float64))
        eight[start : start + rows] = (band / top * 255).round().clip(0, 255)
    return Image.fromarray(eight)
