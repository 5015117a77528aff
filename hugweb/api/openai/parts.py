"""The parts that the content of a message consists of, in OpenAI's two spellings.

Chat completions say ``text``, ``image_url``, ``input_audio``; responses say ``input_text``,
``output_text``, ``input_image``, ``input_file``. Files come as base64 inside the request; nothing is
ever fetched.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import Annotated, Any

from msgspec import Struct

from hugweb.api.documents import TEXT_FILE_PATTERN, file_text, framed
from hugweb.api.fields import IMAGE_PATTERN, SOUND_PATTERN, case, told
from hugweb.api.media import is_image, is_sound
from inference.errors import InvalidRequest, Unsupported
from inference.protocol import MAX_IMAGES

_DATA_URL = re.compile(r"data:(?P<kind>[\w.+-]+/[\w.+-]+)?(?:;[\w-]+=[\w.-]+)*;base64,", re.IGNORECASE)

IMAGE_URL = {"type": "string", "pattern": f"^data:image/png;base64,{IMAGE_PATTERN}$"}
_IMAGE_OBJECT = {"type": "object", "properties": {"url": IMAGE_URL}, "required": ["url"]}
_SOUND = {"type": "string", "pattern": f"^{SOUND_PATTERN}$"}
_SOUND_OBJECT = {"type": "object", "properties": {"data": _SOUND}, "required": ["data"]}

_FILE: dict[str, Any] = {
    "file_data": {"type": "string", "pattern": f"^data:text/plain;base64,{TEXT_FILE_PATTERN}$"},
    "file_id": {"type": "null"},
    "file_url": {"type": "null"},
}
_FILE_OBJECT = {"type": "object", "properties": _FILE, "required": ["file_data"]}


class ImageAddress(Struct, kw_only=True):
    """An image in an object, as chat completions have it; how well to look (``detail``) is ignored."""

    url: str


class Sound(Struct, kw_only=True):
    """A sound; its format is seen from the file."""

    data: str


class File(Struct, kw_only=True):
    """A file: base64, or a ``data:`` URL of that. One that is elsewhere is refused."""

    file_data: str | None = None
    filename: str | None = None
    file_id: str | None = None
    file_url: str | None = None


class Part(File, kw_only=True):
    """A part of a message; which fields count is said by ``type``. A file is in ``file``, or right here."""

    type: str
    text: str = ""
    refusal: str = ""
    image_url: str | ImageAddress | None = None
    input_audio: Sound | None = None
    file: File | None = None


PARTS = [
    case("type", "text", "input_text", "output_text", "refusal"),
    case(
        "type",
        "image_url",
        "input_image",
        needs=("image_url",),
        image_url={"anyOf": [IMAGE_URL, _IMAGE_OBJECT]},
    ),
    case("type", "input_audio", needs=("input_audio",), input_audio=_SOUND_OBJECT),
    case("type", "file", needs=("file",), file=_FILE_OBJECT),
    case("type", "input_file", needs=("file_data",), **_FILE),
]
Content = str | list[Annotated[Part, told(anyOf=PARTS)]] | None
# The same where only some contents are read.
CONTENT = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"anyOf": PARTS}}, {"type": "null"}]}


def count_files(content: Any) -> int:
    """How many files are in ``content``, whose parts are structs or not yet; they take time to read."""
    if not isinstance(content, list):
        return 0
    kinds = (part.get("type") if isinstance(part, dict) else getattr(part, "type", "") for part in content)
    return sum(kind in ("file", "input_file") for kind in kinds)


@dataclass
class Contents:
    """What a message holds: its text, and whole files."""

    text: str = ""
    images: list[bytes] = field(default_factory=list)
    audios: list[bytes] = field(default_factory=list)


def read_content(content: Content, param: str) -> Contents:
    """``content`` apart by kind; ``param`` is where it stands in the request, for errors.

    Several texts are joined by line breaks, as vLLM joins them.
    """
    if not isinstance(content, list):
        return Contents(text=content or "")
    contents, texts = Contents(), []
    for number, part in enumerate(content):
        place = f"{param}[{number}]"
        match part.type:
            case "text" | "input_text" | "output_text":
                texts.append(part.text)
            case "refusal":
                texts.append(part.refusal)
            case "image_url" | "input_image":
                contents.images.append(_image(part.image_url, place))
            case "file":
                texts.append(_document(part.file or File(), f"{place}.file"))
            case "input_file":
                texts.append(_document(part, place))
            case "input_audio":
                contents.audios.append(_audio(part.input_audio, place))
            case _:
                raise Unsupported(f"Parts of type '{part.type}' are not supported.", param=f"{place}.type")
    if max(len(contents.images), len(contents.audios)) > MAX_IMAGES:
        raise InvalidRequest(f"A message can hold at most {MAX_IMAGES} files of a kind.", param=param)
    contents.text = "\n".join(texts)
    return contents


def image_of(url: str, param: str) -> bytes:
    """The image inside of a ``data:`` URL."""
    if match := _DATA_URL.match(url):
        return checked_image(base64_bytes(url[match.end() :], param), param)
    if url.startswith(("http://", "https://")):
        raise Unsupported(
            "image URLs are not currently supported, please use base64 encoded data instead"
            " (data:image/png;base64,…)",
            param=param,
        )
    raise InvalidRequest("invalid image input: a data URL (data:image/png;base64,…) is needed", param=param)


def checked_image(file: bytes, param: str) -> bytes:
    """``file``, if it looks like an image."""
    if not is_image(file):
        raise InvalidRequest("Images must be PNG, JPEG, WebP, GIF or BMP files.", param=param)
    return file


def base64_bytes(text: str, param: str) -> bytes:
    """What ``text`` encodes."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest("This is not base64.", param=param) from error
    if not data:
        raise InvalidRequest("This file is empty.", param=param)
    return data


def _image(given: str | ImageAddress | None, place: str) -> bytes:
    place = f"{place}.image_url"
    if given is None:
        raise InvalidRequest("An image needs a URL.", param=place)
    if isinstance(given, ImageAddress):
        return image_of(given.url, f"{place}.url")
    return image_of(given, place)


def _document(given: File, place: str) -> str:
    for name in ("file_id", "file_url"):
        if getattr(given, name) is not None:
            raise Unsupported("Files are taken inside of a request only: file_data.", param=f"{place}.{name}")
    place = f"{place}.file_data"
    if given.file_data is None:
        raise InvalidRequest("A file needs file_data, as base64.", param=place)
    match = _DATA_URL.match(given.file_data)
    file = base64_bytes(given.file_data[match.end() if match else 0 :], place)
    return framed(file_text(file, place), title=given.filename or "")


def _audio(given: Sound | None, place: str) -> bytes:
    place = f"{place}.input_audio.data"
    if given is None:
        raise InvalidRequest("Audio needs data, as base64.", param=place)
    sound = base64_bytes(given.data, place)
    if not is_sound(sound):
        raise InvalidRequest("Sounds must be WAV, MP3, FLAC or Ogg files.", param=place)
    return sound
