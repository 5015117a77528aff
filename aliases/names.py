"""Ollama's grammar of model names: what clients write, and the form in which names are kept."""

from __future__ import annotations

import re
from collections.abc import Iterable

from inference.errors import InvalidRequest

# [host/][namespace/]model[:tag], at most 80 characters a part. Nothing here comes from other hosts than these
# three, which need not be written.
_NAME = re.compile(
    r"(?:https?://)?"
    r"(?:(?:hf\.co|huggingface\.co|registry\.ollama\.ai)/|"
    r"(?P<host>[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}/)(?=[^/]+/))?"
    r"(?P<name>(?:[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}/)?[A-Za-z0-9_][A-Za-z0-9_.-]{0,79})"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}))?",
    re.IGNORECASE,
)
DEFAULT_TAG = "latest"


def canonical_name(name: str) -> str:
    """``name`` without the host of a hub and the default tag; ``InvalidRequest`` if it is no model name."""
    match = _NAME.fullmatch(name.strip())
    if not match:
        raise InvalidRequest("invalid model name")
    tag = match["tag"] or DEFAULT_TAG
    plain = match["host"] + match["name"] if match["host"] else match["name"].removeprefix("library/")
    return plain if tag.lower() == DEFAULT_TAG else f"{plain}:{tag}"


def full_name(name: str) -> str:
    """A canonical ``name`` with its tag, as Ollama lists it."""
    return name if ":" in name.rpartition("/")[2] else f"{name}:{DEFAULT_TAG}"


def names_comparable(names: Iterable[str]) -> set[str]:
    """``names`` as clients may have written them, in the form that they are compared in; what is none is
    left out."""
    return {canonical_name(name).lower() for name in names if _NAME.fullmatch(name.strip())}
