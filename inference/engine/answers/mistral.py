"""Calls as Mistral's models write them, after ``[TOOL_CALLS]``.

Older ones as a JSON list, ``[TOOL_CALLS] [{"name": "…", "arguments": {…}}]``, newer ones one by one,
``[TOOL_CALLS]NAME[ARGS]{…}``, some with ``[CALL_ID]ID`` before ``[ARGS]`` or with neither.
Source: the chat templates of Mistral 7B v0.3, Nemo, Small 3.1 and Magistral.
"""

from __future__ import annotations

import json
import re

from inference.engine.answers.calls import CallFormat, Read, Tools, found_arguments, found_list
from inference.engine.answers.markers import json_end
from inference.engine.answers.syntax import Json, Parts
from inference.protocol import Tool

OPENING = "[TOOL_CALLS]"
ARGUMENTS = "[ARGS]"
NAMED = re.compile(
    r"\s{0,16}([^\s{\[]{1,256})\s{0,16}(?:\[CALL_ID\][^\[{]{0,64})?(?:\[ARGS\])?\s{0,16}(?=\{)"
)
# All that can stand before the arguments, and a little more.
LONGEST_HEAD = 512


class MistralList(CallFormat):
    """All calls in one JSON list."""

    openings: tuple[str, ...] = (OPENING,)

    def read(self, opening: str, body: str, tools: Tools, *, final: bool) -> Read | None:
        start = len(body) - len(body.lstrip())
        if body[start : start + 1] in {"[", "{"}:
            end = json_end(body, start)
            if end is not None:
                return Read(end, found_list(body[start:end]))
        elif head := NAMED.match(body):
            end = json_end(body, head.end())
            if end is not None:
                source = body[start:end]
                return Read(end, (found_arguments(head[1], body[head.end() : end], source),))
        elif len(body) > LONGEST_HEAD:
            return Read(LONGEST_HEAD, (body[:LONGEST_HEAD],))
        return Read(len(body), (body,)) if final else None

    def call(self, tool: Tool) -> Parts:
        return (f'{{"name": {json.dumps(tool.name)}, "arguments": ', Json(tool.parameters), "}")

    def around(self) -> tuple[Parts, Parts | None, Parts]:
        return (self.openings[0], "["), (", ",), ("]",)


class MistralNamed(MistralList):
    """Each call after a mark of its own: what is read is the same, what is written is not."""

    def call(self, tool: Tool) -> Parts:
        return (OPENING, tool.name, ARGUMENTS, Json(tool.parameters))

    def around(self) -> tuple[Parts, Parts | None, Parts]:
        return (), (), ()
