"""Finding marks in text that comes in pieces: one may span several of them. Pure Python."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache


def first_marker(text: str, markers: Sequence[str]) -> tuple[int, str] | None:
    """Where the first of ``markers`` stands in ``text``, and which; the longest of several there."""
    found = [(at, -len(marker), marker) for marker in markers if (at := text.find(marker)) >= 0]
    if not found:
        return None
    at, _, marker = min(found)
    return at, marker


def unfinished(text: str, markers: Sequence[str]) -> int:
    """Length of the longest end of ``text`` that any of ``markers`` may yet grow out of."""
    longest = min(len(text), max(map(len, markers), default=1) - 1)
    for size in range(longest, 0, -1):
        if any(marker.startswith(text[-size:]) for marker in markers):
            return size
    return 0


def json_end(text: str, start: int, stop: str = "") -> int | None:
    """Where the JSON object or list at ``start`` ends; ``None`` while it has not.

    Brackets are counted, strings skipped; it also ends where ``stop`` stands outside of a string, as
    an answer does whose brackets do not match.
    """
    depth = 0
    for match in _tokens(stop).finditer(text, start):
        token = match[0]
        if token in {"{", "["}:
            depth += 1
        elif token in {"}", "]"}:
            depth -= 1
            if depth <= 0:
                return match.end()
        elif token == stop:
            return match.start()
    return None


@cache
def _tokens(stop: str) -> re.Pattern[str]:
    """A string, also one that has not ended, a bracket, or ``stop``."""
    return re.compile(
        r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[{}\[\]]' + (f"|{re.escape(stop)}" if stop else ""), re.DOTALL
    )
