"""What kind of file some bytes are, by how they begin. Clients of Ollama send sound among the images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from inference.errors import InvalidRequest
from inference.protocol import MAX_IMAGES

_IMAGES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"BM")
_SOUNDS = (b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"fLaC", b"OggS")


class Media(NamedTuple):
    """Whole files, by kind."""

    images: tuple[bytes, ...]
    audios: tuple[bytes, ...]


def media_sort(files: Sequence[bytes]) -> Media:
    """``files`` by kind. ``InvalidRequest`` for one that is neither, and for too many."""
    if len(files) > MAX_IMAGES:
        raise InvalidRequest(f"At most {MAX_IMAGES} images and sounds are taken in a message.")
    images: list[bytes] = []
    audios: list[bytes] = []
    for file in files:
        (images if is_image(file) else audios if is_sound(file) else _refuse()).append(file)
    return Media(tuple(images), tuple(audios))


def is_image(file: bytes) -> bool:
    return file.startswith(_IMAGES) or (file.startswith(b"RIFF") and file[8:12] == b"WEBP")


def is_sound(file: bytes) -> bool:
    return file.startswith(_SOUNDS) or (file.startswith(b"RIFF") and file[8:12] == b"WAVE")


def _refuse() -> list[bytes]:
    raise InvalidRequest("Images must be PNG, JPEG, WebP, GIF or BMP files, sounds WAV, MP3, FLAC or Ogg.")
