"""Calls as Qwen 3 Coder and its like write them, in tags.

``<tool_call><function=NAME><parameter=KEY>VALUE</parameter>…</function></tool_call>``; values are
text, and become what the tool's schema says. Small models leave the outer tag out; Seed-OSS has another one.
Source: the chat templates of Qwen 3 Coder, Qwen 3.5, Nemotron 3 and Seed-OSS.
"""

from __future__ import annotations

import re

from inference.engine.answers.calls import CallFormat, Found, Read, Tools
from inference.engine.answers.hermes import past
from inference.engine.answers.syntax import Parts
from inference.engine.answers.values import parameters_written, properties, value_of
from inference.protocol import Tool

FUNCTION = "<function="
END = "</function>"
NAME = re.compile(r"\s*(?:<function=)?([^>\n]{1,256})>")
PARAMETER = re.compile(r"<parameter=([^>\n]{1,256})>\n?(.*?)\n?</parameter>", re.DOTALL)


class QwenCoder(CallFormat):
    """A function and its parameters in tags of their own, all within ``outer``."""

    def __init__(self, outer: str = "tool_call") -> None:
        self._outer, self._closing = f"<{outer}>", f"</{outer}>"
        self.openings = (self._outer, FUNCTION)
        self.strays = (self._closing,)

    def read(self, opening: str, body: str, tools: Tools, *, final: bool) -> Read | None:
        end = body.find(END)
        outer = body.find(self._closing)
        if outer >= 0 and (end < 0 or outer < end):
            return Read(outer + len(self._closing), (body[:outer].strip(),))
        if end < 0:
            return Read(len(body), (body.strip(),)) if final else None
        taken = past(body, end + len(END), self._closing, final=final)
        return None if taken is None else Read(taken, (_call(body[:end].strip(), tools),))

    def call(self, tool: Tool) -> Parts:
        parameters = parameters_written(tool, ("<parameter={}>\n",), ("\n</parameter>\n",))
        return (self._outer, "\n", f"{FUNCTION}{tool.name}>\n", *parameters, f"{END}\n", self._closing)

    def around(self) -> tuple[Parts, Parts | None, Parts]:
        return (), ("\n",), ()


def _call(source: str, tools: Tools) -> Found | str:
    head = NAME.match(source)
    if head is None:
        return source
    name = head[1].strip()
    schemas = properties(tools[name]) if name in tools else {}
    arguments = {
        key.strip(): value_of(text, schemas.get(key.strip(), {}))
        for key, text in PARAMETER.findall(source, head.end())
    }
    return Found(name, arguments, source)
