"""Types as JSON Schemas, by msgspec: each struct once, under a name that says which API it is of."""

from __future__ import annotations

from typing import Any

import msgspec

Schema = dict[str, Any]
BINARY: Schema = {"type": "string", "format": "binary"}


class Components:
    """The schemas that others refer to."""

    def __init__(self) -> None:
        self.schemas: dict[str, Schema] = {}

    def schema(self, kind: Any, api: str) -> Schema:
        """The schema of ``kind``, one of the types of ``api``; of a tuple of types, any of them."""
        if isinstance(kind, tuple):
            return {"anyOf": [self.schema(each, api) for each in kind]}
        if kind is bytes:
            return BINARY
        prefix = api.replace(" ", "")
        template = f"#/components/schemas/{prefix}.{{name}}"
        (found,), inside = msgspec.json.schema_components((kind,), ref_template=template)
        for name, schema in inside.items():
            self._keep(f"{prefix}.{name}", plain(schema))
        return plain(found)

    def fields(self, kind: type, api: str) -> Schema:
        """The schema of the struct ``kind`` itself, not a reference to it."""
        name = self.schema(kind, api)["$ref"].rpartition("/")[2]
        return self.schemas.pop(name)

    def _keep(self, name: str, schema: Schema) -> None:
        if self.schemas.setdefault(name, schema) != schema:
            raise ValueError(f"Two types of one API are both called {name}.")


def plain(schema: Any) -> Any:
    """``schema`` without what says nothing: titles, null as a default, an empty list of what is required."""
    if isinstance(schema, list):
        return [plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {name: plain(value) for name, value in schema.items() if not _is_idle(name, value)}
    if isinstance(text := kept.get("description"), str):
        kept["description"] = text.replace("``", "`")
    return kept


def _is_idle(name: str, value: Any) -> bool:
    if name == "title":
        return isinstance(value, str)
    return (name == "default" and value is None) or (name == "required" and value == [])
