"""Calls as Kimi K2 writes them: each with an id that holds the tool's name, then JSON.

``<|tool_call_begin|>functions.NAME:NUMBER<|tool_call_argument_begin|>{…}<|tool_call_end|>``, all of them
between ``<|tool_calls_section_begin|>`` and ``<|tool_calls_section_end|>``. Source: its chat template, and
its guide to tool calls.
"""

from __future__ import annotations

import re

from inference.engine.answers.calls import CallFormat, Found, Read, Tools, found_arguments
from inference.engine.answers.markers import first_marker
from inference.engine.answers.syntax import Json, Parts
from inference.protocol import Tool

ALL, ALL_END = "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"
ONE, SEPARATOR, ONE_END = "<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>"
ID = re.compile(r"\s*(?:functions\.)?(.{1,256}?)(?::\d{1,9})?\s*")


class Kimi(CallFormat):
    """An id, a separator, and JSON."""

    openings = (ONE,)
    strays = (ALL, ALL_END, SEPARATOR, ONE_END)
    ends = ">"

    def read(self, opening: str, body: str, tools: Tools, *, final: bool) -> Read | None:
        # The end of all stands also where that of the last call was forgotten.
        found = first_marker(body, (ONE_END, ALL_END, ONE))
        if found is None:
            return Read(len(body), (_call(body),)) if final else None
        at, mark = found
        return Read(at + len(mark) if mark == ONE_END else at, (_call(body[:at]),))

    def call(self, tool: Tool) -> Parts:
        return (ONE, f"functions.{tool.name}:0", SEPARATOR, Json(tool.parameters), ONE_END)

    def around(self) -> tuple[Parts, Parts | None, Parts]:
        return (ALL,), (), (ALL_END,)


def _call(source: str) -> Found | str:
    head, _, rest = source.partition(SEPARATOR)
    text = source.replace(SEPARATOR, " ").strip()
    name = ID.fullmatch(head)
    return found_arguments(name[1], rest.strip() or "{}", text) if name else text
