"""Calls as MiniMax M2 writes them, in tags with names as attributes.

``<minimax:tool_call>``, for each call ``<invoke name="NAME">``, its arguments as
``<parameter name="KEY">VALUE</parameter>``, and ``</invoke>``, and then ``</minimax:tool_call>``. Values are
text, and become what the tool's schema says.
Source: its chat template.
"""

from __future__ import annotations

import re

from inference.engine.answers.calls import CallFormat, Found, Read, Tools
from inference.engine.answers.markers import first_marker
from inference.engine.answers.syntax import Parts
from inference.engine.answers.values import parameters_written, properties, value_of
from inference.protocol import Tool

ALL, ALL_END = "<minimax:tool_call>", "</minimax:tool_call>"
ONE, ONE_END = "<invoke name=", "</invoke>"
NAME = re.compile(r"""\s*["']?([^"'>\n]{1,256})["']?\s*>""")
PARAMETER = re.compile(r"""<parameter name=["']?([^"'>\n]{1,256})["']?>\n?(.*?)\n?</parameter>""", re.DOTALL)


class Invoked(CallFormat):
    """Calls and their parameters in tags of their own."""

    openings = (ONE,)
    strays = (ALL, ALL_END, ONE_END)
    ends = ">"

    def read(self, opening: str, body: str, tools: Tools, *, final: bool) -> Read | None:
        found = first_marker(body, (ONE_END, ALL_END, ONE))
        if found is None:
            return Read(len(body), (_call(body, tools),)) if final else None
        at, mark = found
        return Read(at + len(mark) if mark == ONE_END else at, (_call(body[:at], tools),))

    def call(self, tool: Tool) -> Parts:
        parameters = parameters_written(tool, ('<parameter name="{}">',), ("</parameter>\n",))
        return (f'{ONE}"{tool.name}">\n', *parameters, ONE_END)

    def around(self) -> tuple[Parts, Parts | None, Parts]:
        return (ALL, "\n"), ("\n",), ("\n", ALL_END)


def _call(source: str, tools: Tools) -> Found | str:
    head = NAME.match(source)
    if head is None:
        return source.strip()
    name = head[1].strip()
    schemas = properties(tools[name]) if name in tools else {}
    arguments = {
        key.strip(): value_of(text, schemas.get(key.strip(), {}))
        for key, text in PARAMETER.findall(source, head.end())
    }
    return Found(name, arguments, source[head.end() :].strip() or name)
