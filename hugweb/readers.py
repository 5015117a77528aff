"""How variables are read: a reader for each kind of value, whose docstring says to people what is allowed.

A reader raises ``ValueError`` for anything else. Knows nothing of which variables there are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path


def text(value: str) -> str:
    return value


def boolean(value: str) -> bool:
    """true or false (also 1, yes, on and 0, no, off)"""
    lowered = value.lower()
    if lowered in {"1", "true", "yes", "on"}:
        return True
    if lowered in {"0", "false", "no", "off"}:
        return False
    raise ValueError


def path(value: str) -> Path:
    """a folder or file"""
    return Path(value).expanduser().absolute()


def database(value: str) -> str:
    """an address with postgres:// and the database's name, or sqlite:/// and a path"""
    if not re.fullmatch(r"postgres(?:ql)?://[^?]*/[^/?]+(?:\?.*)?|sqlite:///.+", value):
        raise ValueError
    return value


def socket(value: str) -> str:
    """unix: and the path of a socket"""
    if not value.startswith("unix:") or not value.removeprefix("unix:"):
        raise ValueError
    return value


def https(value: str) -> str:
    """an address that begins with https:// and has no path"""
    if not re.fullmatch(r"https://[a-zA-Z0-9.\-]+(?::\d{1,5})?/?", value):
        raise ValueError
    return value.rstrip("/").lower()


def names(value: str) -> tuple[str, ...]:
    """a list with commas between"""
    return tuple(part.strip() for part in value.split(",") if part.strip())


def origins(value: str) -> tuple[str, ...]:
    """origins like https://example.org:8080, with commas between"""
    # Browsers send none with a slash at its end.
    found = tuple(re.sub(r"(?<=[^/])/$", "", name) for name in names(value))
    for origin in found:
        if "*" not in origin and not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9+.\-]*://[^/\s]*", origin):
            raise ValueError
    return found


def whole(low: int, high: int) -> Callable[[str], int]:
    """A reader of whole numbers from ``low`` to ``high``, both allowed."""

    def reader(value: str) -> int:
        number = int(value)
        if not low <= number <= high:
            raise ValueError
        return number

    reader.__doc__ = f"a whole number from {low} to {high}"
    return reader


def one_of(*allowed: str) -> Callable[[str], str]:
    """A reader of one of a few words."""

    def reader(value: str) -> str:
        if value.lower() not in allowed:
            raise ValueError
        return value.lower()

    reader.__doc__ = " or ".join(allowed)
    return reader
