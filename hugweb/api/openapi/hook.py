"""Completes what drf-spectacular makes of our own API's views by all others; its settings name this."""

from __future__ import annotations

from typing import Any

from hugweb.api.openapi.components import Components, Schema
from hugweb.api.openapi.groups import GROUPS
from hugweb.api.openapi.paths import described_paths
from hugweb.api.openapi.refusals import refusal_components, refusals


def complete(result: Schema, **_: Any) -> Schema:
    """``result`` with every route; those of other APIs first."""
    components = Components()
    paths = described_paths(components)
    chapters = {group.name: group.about for group in GROUPS if group.about}
    known = result["components"]
    for operations in result["paths"].values():
        for operation in operations.values():
            operation["responses"] |= refusals("rest")
    return {
        **result,
        "tags": [{"name": name, "description": about} for name, about in chapters.items()],
        "paths": paths | result["paths"],
        "components": {
            **known,
            "responses": refusal_components(components),
            "schemas": known["schemas"] | components.schemas,
        },
    }
