"""What an answer has to be: ``response_format`` of chat completions, ``text.format`` of responses."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Struct

from hugweb.api.fields import NOT_NULL, case, told
from hugweb.api.schema import schema_text
from inference.errors import InvalidRequest
from inference.protocol import JSON


class SchemaFormat(Struct, kw_only=True):
    """A JSON Schema. Answers are always held to it, ``strict`` or not."""

    schema: dict[str, Any] | None = None


class ResponseFormat(Struct, kw_only=True):
    """``schema`` stands in ``json_schema`` (chat completions), or right here (responses)."""

    type: str
    json_schema: SchemaFormat | None = None
    schema: dict[str, Any] | None = None
    name: str | None = None
    description: str | None = None


# Chat completions and responses differ in where the schema is.
_HOLDING = {"required": ["schema"], "properties": {"schema": NOT_NULL}, **NOT_NULL}
_PLAIN = case("type", "text", "json_object")
_OUTSIDE = case("type", "json_schema", needs=("json_schema",), json_schema=_HOLDING)
_INSIDE = case("type", "json_schema", needs=("schema",), schema=NOT_NULL, json_schema={"type": "null"})
_CASES = [{"type": "null"}, _PLAIN, _OUTSIDE, _INSIDE]
GivenFormat = Annotated[ResponseFormat | None, told(allOf=[{"anyOf": _CASES}])]


def read_format(given: ResponseFormat | None, param: str) -> str:
    """The engine's ``format``; ``param`` is where the request says it."""
    match given.type if given else "text":
        case "text":
            return ""
        case "json_object":
            return JSON
        case "json_schema" if given:
            return _schema(given.json_schema.schema if given.json_schema else given.schema, param)
    raise InvalidRequest("The type of a format is text, json_object or json_schema.", param=f"{param}.type")


def _schema(schema: dict[str, Any] | None, param: str) -> str:
    if schema is None:
        raise InvalidRequest("A format of type json_schema needs a schema.", param=f"{param}.json_schema")
    try:
        return schema_text(schema)
    except InvalidRequest as error:
        raise InvalidRequest(error.message, param=param) from error
