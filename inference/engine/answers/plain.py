"""Calls that are the whole answer: JSON objects with a name and arguments, and no mark but perhaps one.

As Llama 3 and 4 write them: ``{"name": "…", "parameters": {…}}``, several with ``;`` between them, after
``<|python_tag|>`` or between ``<|python_start|>`` and ``<|python_end|>`` in some cases; or a list of calls in
Python.
Also what is read of models whose own marks nobody here knows.
Source: Meta's prompt formats of Llama 3.1, 3.2 and 4.
"""

from __future__ import annotations

import json
import re

from inference.engine.answers.calls import CallFormat, Read, Tools, found_list
from inference.engine.answers.markers import json_end
from inference.engine.answers.pythonic import closed, found_calls
from inference.engine.answers.syntax import Json, Parts
from inference.protocol import Tool

PYTHON_LIST = re.compile(r"\[\s*[A-Za-z_][\w.\-]*\s*\(")


class Plain(CallFormat):
    """JSON at the beginning of the answer."""

    openings = ("<|python_tag|>", "<|python_start|>")
    strays = ("<|eom_id|>", "<|python_end|>")
    bare = "{["

    def read(self, opening: str, body: str, tools: Tools, *, final: bool) -> Read | None:
        start = len(body) - len(body.lstrip())
        if body[start : start + 1] not in {"{", "[", ""}:
            # Code for a tool of Meta's own: nothing that could be called here, so it is text.
            return Read(0, ())
        is_python = PYTHON_LIST.match(body, start)
        end = closed(body, start) if is_python else json_end(body, start)
        if end is None:
            return Read(len(body), (body,)) if final else None
        source = body[start:end]
        return Read(end, found_calls(source, tools) if is_python else found_list(source))

    def call(self, tool: Tool) -> Parts:
        return (f'{{"name": {json.dumps(tool.name)}, "parameters": ', Json(tool.parameters), "}")
