"""Calls that are the whole answer: JSON objects with a name and arguments, and no mark but perhaps one.

As Llama 3 writes them: ``{"name": "…", "parameters": {…}}``, several with ``;`` between them, after
``<|python_tag|>`` in some cases. Also what is read of models whose own marks nobody here knows.
Source: Meta's prompt formats of Llama 3.1 and 3.2.
"""

from __future__ import annotations

import json

from inference.engine.answers.calls import CallFormat, Found, Read, Tools, found_call, found_in, parsed
from inference.engine.answers.markers import json_end
from inference.engine.answers.syntax import Json, Parts
from inference.protocol import Tool


class Plain(CallFormat):
    """JSON at the beginning of the answer."""

    openings = ("<|python_tag|>",)
    strays = ("<|eom_id|>",)
    bare = "{["

    def read(self, opening: str, body: str, tools: Tools, *, final: bool) -> Read | None:
        start = len(body) - len(body.lstrip())
        if body[start : start + 1] not in {"{", "[", ""}:
            # Code for a tool of Meta's own: nothing that could be called here, so it is text.
            return Read(0, ())
        end = json_end(body, start)
        if end is None:
            return Read(len(body), (body,)) if final else None
        return Read(end, found_list(body[start:end]))

    def call(self, tool: Tool) -> Parts:
        return (f'{{"name": {json.dumps(tool.name)}, "parameters": ', Json(tool.parameters), "}")


def found_list(source: str) -> tuple[Found | str, ...]:
    """The calls of a JSON list, or the one that an object is."""
    if not source.startswith("["):
        return (found_call(source),)
    try:
        values = parsed(source)
    except ValueError:
        return (source,)
    calls = tuple(found_in(value, json.dumps(value, ensure_ascii=False)) for value in values)
    # A list without any call in it is what the model said, as it said it.
    return calls if any(isinstance(call, Found) for call in calls) else (source,)
