"""Reading pictures: every kind comes out as it looks, and no file does harm."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from inference.engine import pictures
from inference.engine.pictures import KEPT_SIDE, decode_picture, decode_pictures
from inference.errors import InvalidRequest, TooLarge
from tests.shapes import saved

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def halves(mode: str = "RGB") -> Image.Image:
    """Red on the left, blue on the right: 8 × 4."""
    picture = Image.new("RGB", (8, 4), RED)
    picture.paste(BLUE, (4, 0, 8, 4))
    return picture.convert(mode)


def sides(data: bytes) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The colours left and right."""
    picture = decode_picture(data)
    assert picture.mode == "RGB"
    left, right = picture.getpixel((0, 0)), picture.getpixel((picture.width - 1, picture.height - 1))
    return left, right  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("mode", "format"),
    [
        ("RGB", "PNG"),
        ("P", "PNG"),
        ("RGBA", "PNG"),
        ("RGB", "BMP"),
        ("P", "GIF"),
        ("RGB", "TIFF"),
        ("CMYK", "TIFF"),
    ],
)
def test_exact_formats_keep_their_colours(mode: str, format: str) -> None:
    assert sides(saved(halves(mode), format)) == (RED, BLUE)


@pytest.mark.parametrize(("mode", "format"), [("RGB", "JPEG"), ("CMYK", "JPEG"), ("RGB", "WEBP")])
def test_other_formats_nearly_do(mode: str, format: str) -> None:
    picture = halves().resize((64, 32), Image.Resampling.NEAREST).convert(mode)
    left, right = sides(saved(picture, format))
    assert numpy.allclose(left, RED, atol=12)
    assert numpy.allclose(right, BLUE, atol=12)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_upright(orientation: int) -> None:
    """As a telephone stores them that was held in one of eight ways."""
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = halves().transpose(turns[orientation]) if orientation > 1 else halves()
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = decode_picture(saved(stored, "PNG", exif=exif))
    assert upright.tobytes() == halves().tobytes()


def test_what_is_transparent_is_white() -> None:
    clear = halves("RGBA")
    clear.putpixel((0, 0), (0, 0, 0, 0))
    assert sides(saved(clear)) == (WHITE, BLUE)
    palette = halves("P")
    assert sides(saved(palette, "PNG", transparency=palette.getpixel((0, 0)))) == (WHITE, BLUE)


def test_grey_with_alpha() -> None:
    picture = Image.new("LA", (8, 4), (0, 0))
    picture.putpixel((7, 3), (128, 255))
    assert sides(saved(picture)) == (WHITE, (128, 128, 128))


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bits_are_brought_to_eight(format: str) -> None:
    values = numpy.zeros((4, 8), dtype=numpy.uint16)
    values[:, 4:] = 32768
    assert sides(saved(Image.fromarray(values), format)) == ((0, 0, 0), (128, 128, 128))


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bits_of_a_large_picture_take_little_more_than_the_picture(format: str) -> None:
    """One of 64 million pixels, in a file of half a megabyte, took 1.5 GB."""
    values = numpy.zeros((3000, 3000), dtype=numpy.uint16)
    values[:, 1500:] = 32768
    file = saved(Image.fromarray(values), format)
    tracemalloc.start()
    try:
        assert sides(file) == ((0, 0, 0), (128, 128, 128))
        assert tracemalloc.get_traced_memory()[1] < 10 * values.size
    finally:
        tracemalloc.stop()


def test_numbers_with_a_point_may_go_up_to_one_or_to_255() -> None:
    """What is no number is black."""
    values = numpy.full((2, 8), numpy.nan, dtype=numpy.float32)
    values[:, 4:] = 0.5
    assert sides(saved(Image.fromarray(values), "TIFF")) == ((0, 0, 0), (128, 128, 128))
    assert sides(saved(Image.fromarray(values * 200), "TIFF")) == ((0, 0, 0), (100, 100, 100))


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
def test_of_an_animation_the_first_frame_is_seen(format: str) -> None:
    first, second = Image.new("RGB", (8, 8), RED), Image.new("RGB", (8, 8), BLUE)
    more = {"lossless": True} if format == "WEBP" else {}
    assert sides(saved(first, format, save_all=True, append_images=[second], **more)) == (RED, RED)


def test_large_pictures_are_made_smaller() -> None:
    assert decode_picture(saved(Image.new("RGB", (5120, 1280)))).size == (KEPT_SIDE, KEPT_SIDE // 4)


def bomb(width: int, height: int) -> bytes:
    """A PNG that announces a size and holds next to nothing."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"")
    chunks = (header, data, b"IEND")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks
    )


# Pillow warns of sizes that we refuse.
warned_of_bombs = pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")


@warned_of_bombs
@pytest.mark.parametrize("size", [(8001, 8000), (10_000, 10_000), (16_320, 12_240), (2**31 - 1, 2**31 - 1)])
def test_bombs_are_refused_before_they_are_decoded(size: tuple[int, int]) -> None:
    with pytest.raises(TooLarge, match="pixels; at most 64,000,000"):
        decode_picture(bomb(*size))


def test_sizes_and_counts_are_bounded() -> None:
    with pytest.raises(TooLarge, match="bytes"):
        decode_picture(bytes(pictures.MOST_BYTES + 1))
    with pytest.raises(TooLarge, match="33 pictures"):
        decode_pictures([b""] * 33)
    with pytest.raises(InvalidRequest, match="no model can see"):
        decode_picture(saved(Image.new("RGB", (500, 2))))


@pytest.mark.parametrize("format", ["PPM", "ICO", "TGA", "EPS"])
def test_other_formats_are_not_even_tried(format: str) -> None:
    with pytest.raises(InvalidRequest, match="no format"):
        decode_picture(saved(Image.new("RGB", (16, 16)), format))


FILES = [saved(halves(), format) for format in pictures.FORMATS]


@warned_of_bombs
@given(st.sampled_from(FILES), st.data())
def test_damaged_files_are_errors_of_the_request(file: bytes, data: st.DataObject) -> None:
    damaged = bytearray(file)
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged)))
    try:
        assert decode_picture(bytes(damaged[:cut])).mode == "RGB"
    except InvalidRequest:
        pass
    except TooLarge:
        assert cut > 16


def test_a_file_of_nothing() -> None:
    for data in (b"", b"not a picture", io.BytesIO().getvalue()):
        with pytest.raises(InvalidRequest, match="no format"):
            decode_picture(data)
