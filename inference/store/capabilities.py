"""What a model can do beyond its kind: read off its chat template, its tokens and its configuration.

Nothing here is a reason to refuse a model: a file that cannot be read says nothing.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from inference.chat_jinja import LONGEST_TEMPLATE
from inference.chat_templates import infill_tokens, takes_tools, thinks
from inference.store.architectures import TEXT, Kind
from inference.store.configs import object_read
from inference.store.errors import ModelRefused
from inference.store.listing import Listing

# Ollama's names, in its order; what else a kind can do comes after them.
ORDER = ("completion", "tools", "insert", "vision", "embedding", "thinking", "image", "audio")
TEMPLATE = "chat_template.jinja"
MORE_TEMPLATES = "additional_chat_templates"
# Files with the template as a value, in the order in which transformers asks them.
HOLDERS = ("chat_template.json", "processor_config.json", "tokenizer_config.json")
TOKENS = ("tokenizer_config.json", "tokenizer.json", "vocab.json")
LARGEST_TOKENS = 64 * 2**20


def capabilities_detect(kind: Kind, config: dict[str, Any], listing: Listing) -> tuple[str, ...]:
    """The capabilities of the model in these files, in Ollama's order."""
    found = set(kind.capabilities)
    if "completion" in found:
        templates = tuple(templates_read(listing))
        if any(map(takes_tools, templates)):
            found.add("tools")
        if any(map(thinks, templates)):
            found.add("thinking")
        if infill_tokens(_Written(listing)):
            found.add("insert")
        if kind is not TEXT and _hears(config):
            found.add("audio")
    return (*(name for name in ORDER if name in found), *sorted(found.difference(ORDER)))


def templates_read(listing: Listing) -> Iterator[str]:
    """The sources of the model's chat templates, those that transformers would use."""
    more = [name for name in listing.files if PurePosixPath(name).parent.name == MORE_TEMPLATES]
    for name in (TEMPLATE, *more):
        if name in listing.files:
            yield _text(listing, name)
    if TEMPLATE in listing.files:
        return
    for name in HOLDERS:
        if templates := _held(listing, name):
            yield from templates
            return


def _held(listing: Listing, name: str) -> list[str]:
    """The templates in a JSON file: one, or several with names."""
    if name not in listing.files:
        return []
    with contextlib.suppress(ModelRefused):
        held = object_read(listing.path(name), name).get("chat_template")
        entries = held if isinstance(held, list) else [{"template": held}]
        sources = (entry.get("template") for entry in entries if isinstance(entry, dict))
        return [source for source in sources if isinstance(source, str)]
    return []


def _text(listing: Listing, name: str) -> str:
    with contextlib.suppress(OSError), listing.path(name).open("rb") as file:
        return file.read(LONGEST_TEMPLATE).decode(errors="replace")
    return ""


def _hears(config: dict[str, Any]) -> bool:
    """Whether the model takes sound, by itself or by the part of it that answers."""
    inner = config.get("thinker_config")
    return "audio_config" in config or (isinstance(inner, dict) and "audio_config" in inner)


class _Written:
    """The tokens that are written in a model's files, found without parsing millions of them."""

    def __init__(self, listing: Listing) -> None:
        paths = [listing.path(name) for name in TOKENS if name in listing.files]
        self._texts = [path.read_bytes() for path in paths if path.stat().st_size <= LARGEST_TOKENS]

    def __contains__(self, token: object) -> bool:
        forms = (json.dumps(token).encode(), json.dumps(token, ensure_ascii=False).encode())
        return any(form in text for text in self._texts for form in forms)
