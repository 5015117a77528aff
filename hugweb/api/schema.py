"""The JSON Schemas that clients send, as the engine takes them: as text, and bounded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from inference.errors import InvalidRequest
from inference.protocol import LONGEST_SCHEMA

DEEPEST_SCHEMA = 32


def schema_text(schema: dict[str, Any]) -> str:
    """``schema`` as JSON; ``InvalidRequest`` if it is longer or deeper than anybody needs."""
    # Too deep first: encoding calls itself for each level.
    text = "" if _is_deep(schema) else msgspec.json.encode(schema).decode()
    if not 0 < len(text) <= LONGEST_SCHEMA:
        raise InvalidRequest(
            f"The format is too large: at most {LONGEST_SCHEMA} characters, {DEEPEST_SCHEMA} levels deep."
        )
    return text


def _is_deep(value: Any) -> bool:
    """Whether lists and objects are nested deeper than ``DEEPEST_SCHEMA``; level by level, since what
    calls itself for each runs out of stack before msgspec does."""
    level = [value]
    for _ in range(DEEPEST_SCHEMA):
        level = [inner for outer in level for inner in _inside(outer)]
    return bool(level)


def _inside(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
