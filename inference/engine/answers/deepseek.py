"""Calls as DeepSeek's models write them, between marks of wide bars.

V3.1: ``<｜tool▁call▁begin｜>NAME<｜tool▁sep｜>{…}<｜tool▁call▁end｜>``; R1 and V3 before it:
``<｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME``, a line break, and the JSON in a fenced block.
Source: their chat templates.
"""

from __future__ import annotations

import re

from inference.engine.answers.calls import CallFormat, Found, Read, Tools, found_arguments
from inference.engine.answers.markers import first_marker
from inference.engine.answers.syntax import Json, Parts
from inference.protocol import Tool

ALL, ALL_END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
ONE, SEPARATOR, ONE_END = "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"
FENCED = re.compile(r"\s*([^\n`{]{1,256})\n```(?:json)?\n(.*?)\n?```\s*", re.DOTALL)


class DeepSeek(CallFormat):
    """A name, a separator, and JSON."""

    openings = (ONE,)
    strays = (ALL, ALL_END, SEPARATOR, ONE_END)
    ends = "｜>"

    def read(self, opening: str, body: str, tools: Tools, *, final: bool) -> Read | None:
        found = first_marker(body, (ONE_END, ONE))
        if found is None:
            return Read(len(body), (_call(body),)) if final else None
        at, mark = found
        return Read(at + len(mark) if mark == ONE_END else at, (_call(body[:at]),))

    def call(self, tool: Tool) -> Parts:
        return (ONE, tool.name, SEPARATOR, Json(tool.parameters), ONE_END)

    def around(self) -> tuple[Parts, Parts | None, Parts]:
        return (ALL,), (), (ALL_END,)


class DeepSeekFenced(DeepSeek):
    """The older way: what is read is the same, what is written is not."""

    def call(self, tool: Tool) -> Parts:
        head = f"{tool.name}\n```json\n"
        return (ONE, "function", SEPARATOR, head, Json(tool.parameters), "\n```", ONE_END)

    def around(self) -> tuple[Parts, Parts | None, Parts]:
        return (ALL,), ("\n",), (ALL_END,)


def _call(source: str) -> Found | str:
    name, _, rest = source.partition(SEPARATOR)
    text = source.replace(SEPARATOR, " ").strip()
    if fenced := FENCED.fullmatch(rest):
        return found_arguments(fenced[1].strip(), fenced[2], text)
    return found_arguments(name.strip(), rest.strip() or "{}", text)
