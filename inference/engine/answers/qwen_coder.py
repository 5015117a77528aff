"""Calls as Qwen 3 Coder and its like write them, in tags.

``<tool_call><function=NAME><parameter=KEY>VALUE</parameter>…</function></tool_call>``; values are
text, and become what the tool's schema says. Small models leave the outer tag out.
Source: the chat templates of Qwen 3 Coder and Qwen 3.5.
"""

from __future__ import annotations

import re
from typing import Any

from inference.engine.answers.calls import CallFormat, Found, Read, Tools, parsed
from inference.engine.answers.hermes import past
from inference.engine.answers.syntax import Either, Json, Maybe, Parts, Until
from inference.protocol import Tool

OUTER = "<tool_call>"
FUNCTION = "<function="
END = "</function>"
NAME = re.compile(r"\s*(?:<function=)?([^>\n]{1,256})>")
PARAMETER = re.compile(r"<parameter=([^>\n]{1,256})>\n?(.*?)\n?</parameter>", re.DOTALL)
# What references within a parameter's schema may point to.
DEFINITIONS = frozenset({"$defs", "definitions"})
# Models write Python's names, too.
PYTHON = {"True": "true", "False": "false", "None": "null"}
NULLS = frozenset({"null", "None"})


class QwenCoder(CallFormat):
    """A function and its parameters in tags of their own."""

    openings = (OUTER, FUNCTION)
    strays = ("</tool_call>",)

    def read(self, opening: str, body: str, tools: Tools, *, final: bool) -> Read | None:
        end = body.find(END)
        outer = body.find("</tool_call>")
        if outer >= 0 and (end < 0 or outer < end):
            return Read(outer + len("</tool_call>"), (body[:outer].strip(),))
        if end < 0:
            return Read(len(body), (body.strip(),)) if final else None
        taken = past(body, end + len(END), "</tool_call>", final=final)
        return None if taken is None else Read(taken, (_call(body[:end].strip(), tools),))

    def call(self, tool: Tool) -> Parts:
        head = (f"{FUNCTION}{tool.name}>\n",)
        parameters = [part for name in _properties(tool) for part in _parameter(tool, name)]
        return (OUTER, "\n", *head, *parameters, f"{END}\n", "</tool_call>")

    def around(self) -> tuple[Parts, Parts | None, Parts]:
        return (), ("\n",), ()


def _call(source: str, tools: Tools) -> Found | str:
    head = NAME.match(source)
    if head is None:
        return source
    name = head[1].strip()
    properties = _properties(tools[name]) if name in tools else {}
    arguments = {
        key.strip(): _value(text, properties.get(key.strip(), {}))
        for key, text in PARAMETER.findall(source, head.end())
    }
    return Found(name, arguments, source)


def _properties(tool: Tool) -> dict[str, Any]:
    """The schemas of a tool's parameters, references to its definitions followed once."""
    properties = tool.parameters.get("properties")
    found = properties if isinstance(properties, dict) else {}
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
    declared = schema.get("type", [])
    types = {declared} if isinstance(declared, str) else {name for name in declared if isinstance(name, str)}
    for inner in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        types |= _types(inner)
    return types


def _value(text: str, schema: Any) -> Any:
    """``text`` as the schema wants it; as it is where it cannot be that."""
    types = _types(schema)
    if "string" in types or not (types or text.startswith(("{", "["))):
        return None if "null" in types and text in NULLS else text
    try:
        return parsed(PYTHON.get(text.strip(), text))
    except ValueError:
        return text


def _parameter(tool: Tool, name: str) -> Parts:
    schema = _properties(tool)[name]
    head, tail = f"<parameter={name}>\n", "\n</parameter>\n"
    parts: Parts = (head, *_written(tool, schema, tail))
    required = tool.parameters.get("required")
    return parts if isinstance(required, list) and name in required else (Maybe(parts),)


def _written(tool: Tool, schema: Any, tail: str) -> Parts:
    """How a value of ``schema`` is written, and ``tail`` after it: text as it is, the rest as JSON."""
    schema = schema if isinstance(schema, dict) else {}
    choices = schema.get("enum")
    if choices and all(isinstance(choice, str) for choice in choices):
        return (Either(tuple(choices)), tail)
    if "$ref" in schema or (_types(schema) and "string" not in _types(schema)):
        root = {key: part for key, part in tool.parameters.items() if key in DEFINITIONS}
        return (Json({**root, **schema}), tail)
    return (Until(tail),)
