"""Whatever a mask holds, it is made white where it is transparent, or refused."""

from __future__ import annotations

import asyncio
import struct
import zlib
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hugweb.api.openai.images.masks import painted_white
from inference.errors import InvalidRequest


def white(mask: bytes) -> bytes:
    return asyncio.run(painted_white(mask))


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of these chunks."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


PALETTED = (b"IHDR", struct.pack(">IIBBBBB", 2, 1, 8, 3, 0, 0, 0))
PIXELS = (b"IDAT", zlib.compress(bytes((0, 0, 1))))
COLOURS = (b"PLTE", bytes(6))
END = (b"IEND", b"")


def test_a_palette_may_have_a_transparent_colour() -> None:
    clear = png(PALETTED, COLOURS, (b"tRNS", bytes((0, 255))), PIXELS, END)
    with Image.open(BytesIO(white(clear))) as painted:
        assert (painted.mode, painted.tobytes()) == ("L", bytes((255, 0)))


def test_one_without_transparency_stays_as_it_is() -> None:
    solid = png(PALETTED, COLOURS, PIXELS, END)
    assert white(solid) == solid


NO_PALETTE = png(PALETTED, PIXELS, END)
NO_PIXELS = png(PALETTED, COLOURS, (b"tRNS", b"\0"), (b"IDAT", b"x"), END)


@pytest.mark.parametrize("wrong", [b"", b"x", NO_PALETTE, NO_PIXELS])
def test_what_is_no_image_is_refused(wrong: bytes) -> None:
    with pytest.raises(InvalidRequest, match="not an image"):
        white(wrong)


def test_its_size_is_bounded() -> None:
    with pytest.raises(InvalidRequest, match="too large"):
        white(png((b"IHDR", struct.pack(">IIBBBBB", 4097, 4096, 8, 3, 0, 0, 0)), COLOURS, PIXELS, END))


names = st.sampled_from([b"PLTE", b"tRNS", b"IDAT", b"eXIf", b"acTL", b"fcTL", b"IEND", b"gAMA", b"iCCP"])
chunks = st.lists(st.tuples(names, st.binary(max_size=30)) | st.just(PIXELS), max_size=5)


@given(
    st.tuples(st.integers(0, 5), st.integers(0, 5), st.sampled_from([1, 2, 4, 8, 16]), st.integers(0, 6)),
    chunks,
)
def test_any_chunks_are_a_mask_or_refused(header: tuple[int, int, int, int], parts: list) -> None:
    head = (b"IHDR", struct.pack(">IIBBBBB", *header, 0, 0, 0))
    try:
        assert white(png(head, *parts, END))
    except InvalidRequest as error:
        assert error.param == "mask"
