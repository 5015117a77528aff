"""Calls as Gemma writes them: a name, and arguments in a language of its own between control tokens.

Gemma 4: ``<|tool_call>call:NAME{key:<|"|>text<|"|>,other:2}<tool_call|>``; FunctionGemma, made from Gemma 3:
``<start_function_call>call:NAME{key:<escape>text<escape>}<end_function_call>``. What would come then is a
tool's result, where the answer ends. Values that are no text are JSON, keys have no quotes.
Source: Gemma 4's chat template, Google's guides to function calling with both, and the
``response_template`` that transformers has for Gemma 4 in ``cli/serving/utils.py``.
"""

from __future__ import annotations

import json
import re
from typing import Any

from inference.engine.answers.calls import CallFormat, Found, Read, Tools, parsed, sendable
from inference.engine.answers.markers import first_marker
from inference.engine.answers.syntax import Parts
from inference.engine.answers.values import arguments_written
from inference.protocol import Tool

HEAD = re.compile(r"\s*call:\s*([^\s{]{1,256})\s*(?=\{)")
KEY = re.compile(r'\s*([^\s:,{}\[\]"]{1,256})\s*:')
JSON_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
BARE = re.compile(r"[^,{}\[\]]+")
DEEPEST = 32


class Gemma(CallFormat):
    """Calls between ``opening`` and ``closing``; ``quote`` stands on both sides of texts."""

    ends = "|>}"

    def __init__(self, opening: str, closing: str, quote: str, result: str) -> None:
        self.openings = (opening,)
        self.strays = (closing, quote)
        self.stops = (result,)
        self._closing = closing
        self._quote = quote

    def read(self, opening: str, body: str, tools: Tools, *, final: bool) -> Read | None:
        found = first_marker(body, (self._closing, opening, *self.stops))
        if found is None:
            return Read(len(body), (self._call(body),)) if final else None
        at, mark = found
        return Read(at + len(mark) if mark == self._closing else at, (self._call(body[:at]),))

    def _call(self, source: str) -> Found | str:
        text = source.strip()
        if not (head := HEAD.match(text)):
            return text
        try:
            arguments = Arguments(text, self._quote).whole(head.end())
        except ValueError:
            return text
        return Found(head[1], arguments, text)

    def call(self, tool: Tool) -> Parts:
        return (
            self.openings[0],
            f"call:{tool.name}{{",
            *arguments_written(tool, "{}:", ",", self._quote),
            "}",
            self._closing,
        )

    def around(self) -> tuple[Parts, Parts | None, Parts]:
        return (), (), ()


class Arguments:
    """Reads the arguments in ``text``, in which texts stand between ``quote``; ``ValueError`` for others."""

    def __init__(self, text: str, quote: str) -> None:
        self._text = text
        self._quote = quote
        self._at = 0

    def whole(self, start: int) -> dict[str, Any]:
        """The object that the rest of the text from ``start`` on is."""
        self._at = start
        value: dict[str, Any] = self._object(0)
        if self._text[self._at :].strip():
            raise ValueError("There is more than one object.")
        return sendable(value)

    def _object(self, depth: int) -> dict[str, Any]:
        values = {}
        self._take("{")
        while not self._taken("}"):
            key = self._key()
            values[key] = self._value(depth + 1)
            if not self._taken(",") and self._next() != "}":
                raise ValueError("A comma is missing.")
        return values

    def _list(self, depth: int) -> list[Any]:
        values = []
        self._take("[")
        while not self._taken("]"):
            values.append(self._value(depth + 1))
            if not self._taken(",") and self._next() != "]":
                raise ValueError("A comma is missing.")
        return values

    def _key(self) -> str:
        if self._next() == '"' or self._text.startswith(self._quote, self._at):
            key = self._quoted()
            self._take(":")
            return key
        found = KEY.match(self._text, self._at)
        if not found:
            raise ValueError("A name is missing.")
        self._at = found.end()
        return found[1]

    def _value(self, depth: int) -> Any:
        if depth > DEEPEST:
            raise ValueError("It is nested too deeply.")
        first = self._next()
        if first == "{":
            return self._object(depth)
        if first == "[":
            return self._list(depth)
        if first == '"' or self._text.startswith(self._quote, self._at):
            return self._quoted()
        return self._bare()

    def _quoted(self) -> str:
        """A text between quotes, be they the model's or JSON's."""
        if self._text.startswith(self._quote, self._at):
            start = self._at + len(self._quote)
            end = self._text.find(self._quote, start)
            if end < 0:
                raise ValueError("A text has no end.")
            self._at = end + len(self._quote)
            return self._text[start:end]
        found = JSON_STRING.match(self._text, self._at)
        if not found:
            raise ValueError("A text has no end.")
        self._at = found.end()
        return str(json.loads(found[0], strict=False))

    def _bare(self) -> Any:
        """A number, a truth value or nothing; text that should have had quotes."""
        found = BARE.match(self._text, self._at)
        if not found:
            raise ValueError("A value is missing.")
        self._at = found.end()
        word = found[0].strip()
        try:
            return parsed(word)
        except ValueError:
            return word

    def _next(self) -> str:
        while self._text[self._at : self._at + 1].isspace():
            self._at += 1
        return self._text[self._at : self._at + 1]

    def _taken(self, mark: str) -> bool:
        if self._next() != mark:
            return False
        self._at += 1
        return True

    def _take(self, mark: str) -> None:
        if not self._taken(mark):
            raise ValueError(f"{mark} is missing.")


GEMMA_4 = Gemma("<|tool_call>", "<tool_call|>", '<|"|>', "<|tool_response>")
FUNCTION_GEMMA = Gemma(
    "<start_function_call>", "<end_function_call>", "<escape>", "<start_function_response>"
)
