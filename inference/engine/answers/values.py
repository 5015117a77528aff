"""Values of parameters that models write as text between tags, and what their schemas make of them."""

from __future__ import annotations

from typing import Any

from inference.engine.answers.calls import parsed
from inference.engine.answers.syntax import Either, Json, Maybe, Parts, Until
from inference.protocol import Tool

# What references within a parameter's schema may point to.
DEFINITIONS = frozenset({"$defs", "definitions"})
# Models write Python's names, too.
PYTHON = {"True": "true", "False": "false", "None": "null"}
NULLS = frozenset({"null", "None"})
# A schema of text with nothing else in it can be anything.
FREE_TEXT = frozenset({"type", "description", "title", "default", "examples"})


def properties(tool: Tool) -> dict[str, Any]:
    """The schemas of a tool's parameters, references to its definitions followed once."""
    found = tool.parameters.get("properties")
    found = found if isinstance(found, dict) else {}
    return {name: _followed(tool, schema) for name, schema in found.items()}


def _followed(tool: Tool, schema: Any) -> Any:
    target = schema.get("$ref") if isinstance(schema, dict) else None
    _, _, rest = target.partition("#/") if isinstance(target, str) else ("", "", "")
    kind, _, name = rest.partition("/")
    definitions = tool.parameters.get(kind) if kind in DEFINITIONS else None
    found = definitions.get(name) if isinstance(definitions, dict) else None
    return found if isinstance(found, dict) else schema


def _types(schema: Any) -> set[str]:
    """The names of the types that a value may have; none where the schema does not say."""
    if not isinstance(schema, dict):
        return set()
    declared = schema.get("type")
    names = [declared] if isinstance(declared, str) else _several(schema, "type")
    types = {name for name in names if isinstance(name, str)}
    for inner in (*_several(schema, "anyOf"), *_several(schema, "oneOf")):
        types |= _types(inner)
    return types


def _several(schema: dict[str, Any], keyword: str) -> list[Any]:
    """What a schema has under a keyword whose value is a list; some clients send null for none."""
    found = schema.get(keyword)
    return found if isinstance(found, list) else []


def _choices(schema: Any) -> tuple[str, ...]:
    """The texts that a value has to be one of; none where it may be anything else."""
    choices = _several(schema, "enum") if isinstance(schema, dict) else []
    return tuple(choices) if all(isinstance(choice, str) for choice in choices) else ()


def value_of(text: str, schema: Any) -> Any:
    """``text`` as the schema wants it; as it is where it cannot be that."""
    types = _types(schema)
    if "string" in types or not (types or text.startswith(("{", "["))):
        return None if "null" in types and text in NULLS else text
    try:
        return parsed(PYTHON.get(text.strip(), text))
    except ValueError:
        return text


def parameters_written(tool: Tool, head: tuple[str, ...], tail: tuple[str, ...]) -> Parts:
    """All parameters of ``tool``, each after ``head``, with its name where that has braces, and before
    ``tail``. Marks are parts of their own, since they may be control tokens."""
    required = tool.parameters.get("required")
    parts: list[Any] = []
    for name, schema in properties(tool).items():
        one: Parts = (*(part.format(name) for part in head), *_written(tool, schema, tail))
        parts += one if isinstance(required, list) and name in required else [Maybe(one)]
    return tuple(parts)


def arguments_written(tool: Tool, head: str, separator: str, quote: str = "") -> Parts:
    """All parameters of ``tool``, each after ``head`` with its name, with ``separator`` between them, texts
    between ``quote`` where the model has such marks, everything else as JSON.

    Those that need not be given come last; where all are such, each takes a separator along.
    """
    required = tool.parameters.get("required")
    schemas = properties(tool)
    needed = [name for name in schemas if isinstance(required, list) and name in required]
    written = {name: (head.format(name), *_argument(tool, schema, quote)) for name, schema in schemas.items()}
    parts: list[Any] = []
    for name in needed:
        parts += [separator, *written[name]] if parts else written[name]
    for name in [name for name in schemas if name not in needed]:
        parts.append(Maybe((separator, *written[name]) if needed else (*written[name], separator)))
    return tuple(parts)


def _argument(tool: Tool, schema: Any, quote: str) -> Parts:
    if quote and (choices := _choices(schema)):
        return (quote, Either(choices), quote)
    if quote and isinstance(schema, dict) and schema.keys() <= FREE_TEXT and schema.get("type") == "string":
        return (quote, Until(quote))
    root = {key: part for key, part in tool.parameters.items() if key in DEFINITIONS}
    return (Json({**root, **schema} if isinstance(schema, dict) else {}),)


def _written(tool: Tool, schema: Any, tail: tuple[str, ...]) -> Parts:
    """How a value of ``schema`` is written, and ``tail`` after it: text as it is, the rest as JSON."""
    schema = schema if isinstance(schema, dict) else {}
    if choices := _choices(schema):
        return (Either(choices), *tail)
    if "$ref" in schema or (_types(schema) and "string" not in _types(schema)):
        root = {key: part for key, part in tool.parameters.items() if key in DEFINITIONS}
        return (Json({**root, **schema}), *tail)
    return (Until(tail[0]), *tail[1:])
