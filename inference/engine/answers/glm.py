"""Calls as GLM's models write them: a name, and its arguments in tags.

``<tool_call>NAME``, for each argument a line with ``<arg_key>KEY</arg_key>`` and one with
``<arg_value>VALUE</arg_value>``, and ``</tool_call>``; values are text, and become what the tool's
schema says. Source: the chat templates of GLM 4.5 and 4.6.
"""

from __future__ import annotations

import re

from inference.engine.answers.calls import CallFormat, Found, Read, Tools
from inference.engine.answers.markers import first_marker
from inference.engine.answers.syntax import Parts
from inference.engine.answers.values import parameters_written, properties, value_of
from inference.protocol import Tool

OPENING, CLOSING = "<tool_call>", "</tool_call>"
ARGUMENT = re.compile(r"<arg_key>([^<]{1,256})</arg_key>\s*<arg_value>\n?(.*?)\n?</arg_value>\s*", re.DOTALL)


class Glm(CallFormat):
    """Keys and values in tags of their own."""

    openings = (OPENING,)
    strays = (CLOSING, "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>")

    def read(self, opening: str, body: str, tools: Tools, *, final: bool) -> Read | None:
        found = first_marker(body, (CLOSING, OPENING))
        if found is None:
            return Read(len(body), (_call(body.strip(), tools),)) if final else None
        at, mark = found
        return Read(at + len(mark) if mark == CLOSING else at, (_call(body[:at].strip(), tools),))

    def call(self, tool: Tool) -> Parts:
        head, tail = ("<arg_key>", "{}", "</arg_key>", "\n", "<arg_value>"), ("</arg_value>", "\n")
        return (OPENING, f"{tool.name}\n", *parameters_written(tool, head, tail), CLOSING)

    def around(self) -> tuple[Parts, Parts | None, Parts]:
        return (), ("\n",), ()


def _call(source: str, tools: Tools) -> Found | str:
    name, _, rest = source.partition("<arg_key>")
    arguments = ARGUMENT.findall(f"<arg_key>{rest}") if rest else []
    # What is left beside the arguments makes it something else.
    if rest and ARGUMENT.sub("", f"<arg_key>{rest}").strip():
        return source
    schemas = properties(tools[name.strip()]) if name.strip() in tools else {}
    values = {key.strip(): value_of(text, schemas.get(key.strip(), {})) for key, text in arguments}
    return Found(name.strip(), values, source)
