"""What a stored model's files say of it, for people: configuration, chat template, tensors.

Files are read as hostile input, each within its bound. What cannot be read is left out, since a
description with a gap is better than none. Slow on a cold disk: to be called in a thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open

from inference.store.capabilities import HOLDERS, TEMPLATE, templates_read
from inference.store.configs import MAIN, object_read
from inference.store.errors import ModelRefused
from inference.store.listing import Listing

MOST_TENSORS = 100_000


class Tensor(NamedTuple):
    """One tensor of the weights, its type as safetensors names it."""

    name: str
    type: str
    shape: tuple[int, ...]


def config_of(folder: Path) -> dict[str, Any]:
    """The main configuration of the model in ``folder``; empty where there is none."""
    try:
        return object_read(folder / MAIN, MAIN)
    except ModelRefused:
        return {}


def template_of(folder: Path) -> str:
    """The chat template of the model in ``folder``, the first of several; empty where there is none."""
    names = tuple(name for name in (TEMPLATE, *HOLDERS) if (folder / name).is_file())
    return next(templates_read(Listing(folder, names)), "")


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
