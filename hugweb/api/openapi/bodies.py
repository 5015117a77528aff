"""What requests hold: bodies as JSON and as forms, and parameters.

Fields of JSON that are null count as not given, wherever ``hugweb.api.body`` reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hugweb.api.described import BYTES, FORM, Operation
from hugweb.api.openapi.components import BINARY, Components, Schema
from hugweb.api.openapi.groups import Group
from inference.protocol import MAX_IMAGES

MANY = "[]"
# What there has to be in a field that may not be left out.
LEAST: dict[str, Schema] = {
    "string": {"minLength": 1},
    "array": {"minItems": 1},
    "integer": {"minimum": 1},
    "object": {"minProperties": 1},
}


def request_body(operation: Operation, group: Group, components: Components) -> Schema:
    """OpenAPI's ``requestBody``."""
    content = {}
    for media, kind in operation.takes.items():
        if media == BYTES:
            schema = BINARY
        elif media == FORM:
            schema = _form(components.fields(kind, group.name), operation)
        else:
            schema = _json(components.fields(kind, group.name), operation, group.absent)
        content[media] = {"schema": schema}
    return {"content": content, "required": True}


def parameters(
    operation: Operation, path: dict[str, Schema], group: Group, components: Components
) -> list[Schema]:
    """OpenAPI's ``parameters``: those of ``path``, by the route, and those that the operation names."""
    known = components.fields(operation.parameters, group.name) if operation.parameters else {}
    said = known.get("properties", {})
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": said.get(name, schema)}
        for name, schema in path.items()
    ]
    in_query = [
        {"name": name, "in": "query", "schema": schema} for name, schema in said.items() if name not in path
    ]
    return in_path + in_query


def _json(schema: Schema, operation: Operation, absent: tuple[Any, ...]) -> Schema:
    """``schema`` of a body with what it needs, where each other field may be one of ``absent``."""
    single = {name for name in operation.needs if " " not in name}
    required = {*schema.get("required", ()), *single}
    properties = {
        name: _needed(each) if name in single else each if name in required else _or_absent(each, absent)
        for name, each in schema["properties"].items()
    }
    rules: list[Mapping[str, Any]] = [
        {"anyOf": [_having(name, schema["properties"][name]) for name in names.split()]}
        for names in operation.needs
        if " " in names
    ]
    rules += operation.rules
    return {
        **schema,
        "properties": properties,
        **({"required": sorted(required)} if required else {}),
        **({"allOf": rules} if rules else {}),
    }


def _form(schema: Schema, operation: Operation) -> Schema:
    """The same as a form: its fields are single values, and some are files."""
    files = {name.removesuffix(MANY): _file(name) for name in operation.files}
    fields = {
        name: _without_null(each)
        for name, each in schema["properties"].items()
        if each.get("type") != "array"
    }
    required = [next(iter({*names.split()} & {*files}), names.split()[0]) for names in operation.needs]
    properties = {name: _needed(each) if name in required else each for name, each in fields.items()}
    return {**schema, "properties": properties | files, "required": sorted(required)}


def _file(name: str) -> Schema:
    several = {"type": "array", "items": BINARY, "minItems": 1, "maxItems": MAX_IMAGES}
    return several if name.endswith(MANY) else BINARY


def _needed(schema: Schema) -> Schema:
    """``schema`` without null and what is empty."""
    if "anyOf" in schema:
        kinds = _without_null(schema)["anyOf"]
        return {**schema, "anyOf": [_needed(each) if each.get("type") == "array" else each for each in kinds]}
    rest = {name: value for name, value in schema.items() if name != "default"}
    least = LEAST.get(schema.get("type", ""), {})
    return {**rest, **{name: max(value, rest.get(name, value)) for name, value in least.items()}}


def _without_null(schema: Schema) -> Schema:
    if "anyOf" not in schema:
        return schema
    return {**schema, "anyOf": [each for each in schema["anyOf"] if each != {"type": "null"}]}


def _having(name: str, schema: Schema) -> Schema:
    """An object in which ``name`` is given."""
    return {"required": [name], "properties": {name: _needed(schema)}}


def _or_absent(schema: Schema, absent: tuple[Any, ...]) -> Schema:
    """``schema``, or a value that counts as none."""
    default = {"default": schema["default"]} if "default" in schema else {}
    about = {"description": schema["description"]} if "description" in schema else {}
    rest = {name: schema[name] for name in schema if name not in {*default, *about, "anyOf"}}
    kinds = schema.get("anyOf") or [rest]
    more_said = rest if "anyOf" in schema else {}
    nothing = [{"type": "null"} if value is None else {"const": value} for value in absent]
    if {} in kinds:
        return schema
    more = [each for each in nothing if each not in kinds]
    if {"type": "string"} in kinds:
        more = [each for each in more if "const" not in each]
    return {**about, "anyOf": [*kinds, *more], **more_said, **default}
