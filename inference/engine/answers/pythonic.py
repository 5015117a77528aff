"""Calls as some models write them: in Python, with arguments by name.

LFM 2: ``<|tool_call_start|>[NAME(key="text"), OTHER()]<|tool_call_end|>``; Olmo 3: ``<function_calls>`` and a
line for each; Llama 3.2 and 4 may answer with such a list and nothing else. JSON's names for true, false and
nothing are understood, and JSON lists, which LFM 2 writes if it is asked to.
Source: the chat templates of LFM 2.5, for Olmo 3 what vLLM's parser reads, and Meta's prompt formats of Llama
3.2. Nothing is run: the text is parsed, and only literals are taken.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

from inference.engine.answers.calls import CallFormat, Found, Read, Tools, found_list, parsed, sendable
from inference.engine.answers.syntax import Parts
from inference.engine.answers.values import arguments_written
from inference.protocol import Tool

NAME = re.compile(r"[\s,;]*([^\s()\[\]{},;\"']{1,256})\s*\(")
CONSTANTS = {"true": True, "false": False, "null": None}
# Beyond that Python's own parser may take long.
LONGEST = 65_536
# Also a string that has not ended.
STRING = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|' + r"'(?:[^'\\]|\\.)*(?:'|\\?\Z)", re.DOTALL)
ARGUMENT = re.compile(r"\s*([^\s=,()\[\]{}\"']{1,256})\s*=")
_TOKENS = re.compile(STRING.pattern + r"|[()\[\]{},]", re.DOTALL)


class Pythonic(CallFormat):
    """Calls in Python between two marks: a list of them, or ``a_line`` for each; values are made in JSON."""

    ends = ">"

    def __init__(self, opening: str, closing: str, *, a_line: bool = False) -> None:
        self.openings = (opening,)
        self.strays = (closing,)
        self._closing = closing
        self._a_line = a_line

    def read(self, opening: str, body: str, tools: Tools, *, final: bool) -> Read | None:
        end = body.find(self._closing)
        if end < 0:
            return Read(len(body), found_calls(body.strip(), tools)) if final else None
        return Read(end + len(self._closing), found_calls(body[:end].strip(), tools))

    def call(self, tool: Tool) -> Parts:
        return (f"{tool.name}(", *arguments_written(tool, "{}=", ", "), ")")

    def around(self) -> tuple[Parts, Parts | None, Parts]:
        if self._a_line:
            return (self.openings[0], "\n"), ("\n",), ("\n", self._closing)
        return (self.openings[0], "["), (", ",), ("]", self._closing)


def found_calls(source: str, tools: Tools) -> tuple[Found | str, ...]:
    """The calls in ``source``, JSON or Python; the text itself where there are none."""
    if re.match(r"\[?\s*\{", source):
        return found_list(source)
    inner = source[1:-1] if source.startswith("[") and source.endswith("]") else source
    calls: list[Found | str] = []
    at = 0
    while head := NAME.match(inner, at):
        end = closed(inner, head.end() - 1)
        if end is None:
            return (source,)
        calls.append(_call(head[1], inner[head.end() : end - 1], inner[head.start(1) : end]))
        at = end
    known = any(isinstance(call, Found) and call.name in tools for call in calls)
    return tuple(calls) if known and not inner[at:].strip() else (source,)


def closed(text: str, start: int) -> int | None:
    """Where the bracket at ``start`` is closed, strings of Python skipped; ``None`` while it is not."""
    depth = 0
    for found in _TOKENS.finditer(text, start):
        if found[0] in {"(", "[", "{"}:
            depth += 1
        elif found[0] in {")", "]", "}"}:
            depth -= 1
            if depth <= 0:
                return found.end()
    return None


def _call(name: str, arguments: str, source: str) -> Found | str:
    try:
        return Found(name, sendable(dict(_arguments(arguments))), source)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return source


def _arguments(text: str) -> Iterator[tuple[str, Any]]:
    """Names and values, one by one: a name may be a word of Python's own, as ``from`` is."""
    if len(text) > LONGEST:
        raise ValueError("The arguments are too long.")
    # A text may go over several lines, which Python's do not.
    text = STRING.sub(lambda found: found[0].replace("\n", "\\n").replace("\r", "\\r"), text)
    at = 0
    while text[at:].strip():
        head = ARGUMENT.match(text, at)
        if not head:
            raise ValueError("An argument has no name.")
        end = _value_end(text, head.end())
        yield head[1], _value(text[head.end() : end].strip())
        at = end + 1


def _value_end(text: str, start: int) -> int:
    """Where the value at ``start`` ends: at the next comma that is not within it."""
    depth = 0
    for found in _TOKENS.finditer(text, start):
        if found[0] in {"(", "[", "{"}:
            depth += 1
        elif found[0] in {")", "]", "}"}:
            depth -= 1
        elif found[0] == "," and not depth:
            return found.start()
    return len(text)


def _value(text: str) -> Any:
    """What ``text`` is in JSON, or else in Python: their strings are not quite the same."""
    try:
        return parsed(text)
    except ValueError:
        return _literal(ast.parse(text, mode="eval").body)


def _literal(node: ast.expr) -> Any:
    """The value of a literal; ``ValueError`` for anything else."""
    match node:
        case ast.Name(id=name) if name in CONSTANTS:
            return CONSTANTS[name]
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_literal(item) for item in items]
        case ast.Dict(keys=keys, values=values):
            pairs = zip(keys, values, strict=True)
            return {str(_literal(key)): _literal(value) for key, value in pairs if key is not None}
        case ast.Constant(value=bytes() | complex()):
            raise ValueError("That is no JSON.")
        case ast.Constant() | ast.UnaryOp():
            return ast.literal_eval(node)
    raise ValueError("That is no literal.")


LFM = Pythonic("<|tool_call_start|>", "<|tool_call_end|>")
OLMO = Pythonic("<function_calls>", "</function_calls>", a_line=True)
