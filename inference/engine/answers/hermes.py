"""Calls as Hermes, Qwen and many others write them.

``<tool_call>{"name": "…", "arguments": {…}}</tool_call>``, once for each call.
Source: the chat templates of Qwen 2.5 and Qwen 3.
"""

from __future__ import annotations

import json

from inference.engine.answers.calls import CallFormat, Found, Read, Tools, found_call
from inference.engine.answers.markers import first_marker, json_end
from inference.engine.answers.syntax import Json, Parts
from inference.protocol import Tool


class Hermes(CallFormat):
    """JSON between two tags."""

    openings = ("<tool_call>",)
    strays = ("</tool_call>",)
    closing = "</tool_call>"

    def read(self, opening: str, body: str, tools: Tools, *, final: bool) -> Read | None:
        start = len(body) - len(body.lstrip())
        if body[start : start + 1] not in {"{", ""}:
            return self._malformed(body, final=final)
        end = json_end(body, start, self.closing)
        if end is None:
            return self._malformed(body, final=True) if final else None
        taken = past(body, end, self.closing, final=final)
        return None if taken is None else Read(taken, (_call(body[start:end]),))

    def _malformed(self, body: str, *, final: bool) -> Read | None:
        """Not JSON: text up to the closing tag, or to the next call."""
        found = first_marker(body, (self.closing, *self.openings))
        if found is None:
            return Read(len(body), (body.strip(),)) if final else None
        at, mark = found
        return Read(at + len(mark) if mark == self.closing else at, (body[:at].strip(),))

    def call(self, tool: Tool) -> Parts:
        head = f'\n{{"name": {json.dumps(tool.name)}, "arguments": '
        return (self.openings[0], head, Json(tool.parameters), "}\n", self.closing)

    def around(self) -> tuple[Parts, Parts | None, Parts]:
        return (), ("\n",), ()


def _call(source: str) -> Found | str:
    return found_call(source.strip())


def past(body: str, at: int, closing: str, *, final: bool) -> int | None:
    """Where ``closing`` ends, after white space at ``at``; ``at`` if it is missing.

    ``None`` while it may still come.
    """
    rest = body[at:].lstrip()
    if rest.startswith(closing):
        return len(body) - len(rest) + len(closing)
    return None if closing.startswith(rest) and not final else at
