"""The JSON Schemas that clients send, as the engine takes them: as text, and bounded."""

from __future__ import annotations

from typing import Any

import msgspec

from hugweb.api.depth import DEEPEST, is_deep
from inference.errors import InvalidRequest
from inference.protocol import LONGEST_SCHEMA


def schema_text(schema: dict[str, Any]) -> str:
    """``schema`` as JSON; ``InvalidRequest`` if it is longer or deeper than anybody needs."""
    # Too deep first: encoding calls itself for each level.
    text = "" if is_deep(schema) else msgspec.json.encode(schema).decode()
    if not 0 < len(text) <= LONGEST_SCHEMA:
        raise InvalidRequest(
            f"The format is too large: at most {LONGEST_SCHEMA} characters, {DEEPEST} levels deep."
        )
    return text
