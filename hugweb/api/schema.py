"""The JSON Schemas that clients send, as the engine takes them: as text, and bounded."""

from __future__ import annotations

from typing import Any

import msgspec

from inference.errors import InvalidRequest
from inference.protocol import LONGEST_SCHEMA

DEEPEST_SCHEMA = 32


def schema_text(schema: dict[str, Any]) -> str:
    """``schema`` as JSON; ``InvalidRequest`` if it is longer or deeper than anybody needs."""
    text = msgspec.json.encode(schema).decode()
    if len(text) > LONGEST_SCHEMA or _depth(schema) > DEEPEST_SCHEMA:
        raise InvalidRequest(
            f"The format is too large: at most {LONGEST_SCHEMA} characters, {DEEPEST_SCHEMA} levels deep."
        )
    return text


def _depth(value: Any) -> int:
    """How deep lists and objects are nested; msgspec has refused what is too deep for this."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inside), default=0)
