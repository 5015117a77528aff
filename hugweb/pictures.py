"""Pictures that a prompt in the terminal names by their path, as Ollama's terminal takes them."""

from __future__ import annotations

import re
from pathlib import Path

from hugweb import sample
from inference.errors import InvalidRequest
from inference.protocol import MAX_IMAGES

LARGEST = 32 * 2**20
_ENDING = r"\.(?:png|jpe?g|webp)"
_PATH = re.compile(
    rf"""'[^'\n]+{_ENDING}'|"[^"\n]+{_ENDING}"|(?:[^\s\\'"]|\\.)+{_ENDING}(?!\S)""", re.IGNORECASE
)


def picture_read(path: str) -> bytes:
    """The file at ``path``, or the sample; ``InvalidRequest`` where there is none that could be a picture."""
    file = Path(path).expanduser()
    if path == sample.NAME and not file.exists():
        file = sample.PATH
    try:
        if file.stat().st_size > LARGEST:
            raise InvalidRequest(f"{path} is too large: at most {LARGEST} bytes are taken.")
        return file.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}.") from error


def pictures_taken(prompt: str) -> tuple[str, tuple[bytes, ...]]:
    """``prompt`` without the paths of pictures that are there, and those pictures."""
    pictures: list[bytes] = []

    def take(match: re.Match[str]) -> str:
        path = match[0].strip("'\"").replace("\\ ", " ")
        if len(pictures) == MAX_IMAGES or not Path(path).expanduser().is_file():
            return match[0]
        pictures.append(picture_read(path))
        return ""

    return _PATH.sub(take, prompt).strip(), tuple(pictures)
