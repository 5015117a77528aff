"""JSON Schemas as people mean them. Pure Python over the schema."""

from __future__ import annotations

from typing import Any

from inference.errors import InvalidRequest

DEEPEST = 32

# Keywords that say what other properties there may be, and those that hold schemas.
OPEN = {"additionalProperties", "patternProperties", "unevaluatedProperties"}
SCHEMAS = {"items", "additionalProperties"}
LISTS_OF_SCHEMAS = {"anyOf", "oneOf", "prefixItems"}
MAPS_OF_SCHEMAS = {"properties", "$defs", "definitions"}


def closed(schema: Any) -> Any:
    """``schema`` with objects that list their properties having no others, unless it says so.

    JSON Schema lets anything else in, which a small model takes as leave to go on for ever; people
    mean what they list, and llama.cpp reads schemas so too. Parts of an ``allOf`` stay open, since
    each of them is to let the other's properties in.
    """
    if not isinstance(schema, dict) or "allOf" in schema:
        return schema
    result = {name: _closed_part(name, part) for name, part in schema.items()}
    if "properties" in result and not OPEN & result.keys():
        result["additionalProperties"] = False
    return result


def _closed_part(name: str, part: Any) -> Any:
    if name in SCHEMAS:
        return closed(part)
    if name in LISTS_OF_SCHEMAS and isinstance(part, list):
        return [closed(one) for one in part]
    if name in MAPS_OF_SCHEMAS and isinstance(part, dict):
        return {key: closed(one) for key, one in part.items()}
    return part


def check_depth(schema: Any) -> None:
    """``InvalidRequest`` for a schema that is nested deeper than any has to be."""
    level, depth = [schema], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise InvalidRequest(f"A JSON Schema is nested deeper than {DEEPEST} levels.")
        inside = [part for part in level if isinstance(part, dict | list)]
        level = [inner for part in inside for inner in (part.values() if isinstance(part, dict) else part)]
