"""What a stored model's files say of it, for people: configuration, chat template, tensors.

Files are read as hostile input, each within its bound. What cannot be read is left out, since a
description with a gap is better than none. Slow on a cold disk: to be called in a thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open

from inference.store.configs import MAIN, object_read
from inference.store.errors import ModelRefused

LARGEST_TEMPLATE = 2**20
LARGEST_TOKENIZER_CONFIG = 16 * 2**20
MOST_TENSORS = 100_000


class Tensor(NamedTuple):
    """One tensor of the weights, its type as safetensors names it."""

    name: str
    type: str
    shape: tuple[int, ...]


def config_of(folder: Path) -> dict[str, Any]:
    """The main configuration of the model in ``folder``; empty where there is none."""
    return _object(folder / MAIN)


def template_of(folder: Path) -> str:
    """The chat template of the model in ``folder``; empty where there is none."""
    written = folder / "chat_template.jinja"
    try:
        if written.stat().st_size <= LARGEST_TEMPLATE:
            return written.read_text()
    except (OSError, UnicodeDecodeError):
        pass
    for name in ("tokenizer_config.json", "chat_template.json"):
        template = _object(folder / name, LARGEST_TOKENIZER_CONFIG).get("chat_template")
        if found := _default(template):
            return found
    return ""


def tensors_of(folder: Path) -> Iterator[Tensor]:
    """The tensors of the model in ``folder``, file by file."""
    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(file, framework="np") as weights:
                for name in weights.keys():  # noqa: SIM118 - not a dict
                    part = weights.get_slice(name)
                    yield Tensor(name, part.get_dtype(), tuple(part.get_shape()))
        except (OSError, SafetensorError):
            continue


def _object(path: Path, *bound: int) -> dict[str, Any]:
    try:
        return object_read(path, path.name, *bound)
    except ModelRefused:
        return {}


def _default(template: object) -> str:
    """A template, or the one called default of several."""
    if isinstance(template, list):
        named = {
            str(entry.get("name")): entry.get("template") for entry in template if isinstance(entry, dict)
        }
        template = named.get("default")
    return template if isinstance(template, str) else ""
