"""What an answer is to be, and the grammar that says so, in llguidance's dialect of Lark.

Thoughts are free; what comes after them is a format, calls of tools, or either. Names of rules never
come from outside. Source: llguidance's ``docs/syntax.md``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inference.engine.answers.syntax import Either, Json, Maybe, Part, Parts, ThoughtSyntax, Until
from inference.engine.schemas import check_depth, closed
from inference.errors import InvalidRequest
from inference.protocol import JSON, LONGEST_SCHEMA

ANY_OBJECT = {"type": "object"}
# Some whitespace, as models write it, but never so much that an answer is nothing else.
WHITESPACE = r"[ \n]{0,16}"
LONGEST_SOURCE = 4 * LONGEST_SCHEMA


@dataclass(frozen=True)
class Shape:
    """What an answer is to be: anything, where there is neither ``format`` nor ``calls``.

    ``calls`` are what a call may look like, ``around`` what stands before, between and after calls, with
    ``None`` between where there is one call at most. A ``thought`` may come first; with ``opened`` the
    prompt has begun it.
    """

    format: str = ""
    calls: tuple[Parts, ...] = ()
    around: tuple[Parts, Parts | None, Parts] = ((), None, ())
    thought: ThoughtSyntax | None = None
    opened: bool = False


class Lark:
    """Writes grammars for a tokenizer with these ``control`` tokens, which are never text."""

    def __init__(self, control: Mapping[str, int]) -> None:
        self._control = control
        self._rules: list[str] = []

    def source(self, shape: Shape) -> str:
        """The grammar of ``shape``. ``InvalidRequest`` for a format that is no schema."""
        self._rules = ["TEXT: /(.|\\n)*/", f"SPACE: /{WHITESPACE}/"]
        bodies = [self._calls(shape)] if shape.calls else []
        if shape.format:
            said = shape.thought.said if shape.thought else ()
            bodies.append(self._row((*said, Json(_format_schema(shape.format)))))
        start = f"start: {self._thought(shape)} ({' | '.join(bodies)})"
        source = "\n".join(["%llguidance {}", start, *self._rules])
        if len(source) > LONGEST_SOURCE:
            raise InvalidRequest(f"The tools are too large: at most {LONGEST_SOURCE} characters in all.")
        return source

    def _thought(self, shape: Shape) -> str:
        if shape.thought is None:
            return ""
        end, *rest = shape.thought.closing
        thought = f"{self._until(end)} {self._row(tuple(rest))} SPACE"
        return thought if shape.opened else f"({self._row(shape.thought.opening)} {thought})?"

    def _calls(self, shape: Shape) -> str:
        before, between, after = shape.around
        call = self._rule("call", " | ".join(map(self._row, shape.calls)))
        more = f"({self._row(between)} {call})*" if between is not None else ""
        return f"{self._row(before)} {call} {more} {self._row(after)}"

    def _row(self, parts: Parts) -> str:
        return " ".join(map(self._part, parts))

    def _part(self, part: Part) -> str:
        match part:
            case Json(schema):
                return self._rule("json", f"%json {_dumped(_bounded(schema))}")
            case Until(end):
                return self._until(end)
            case Maybe(parts):
                return f"({self._row(parts)})?"
            case Either(texts):
                return f"({' | '.join(map(_dumped, texts))})"
            case str(text) if text in self._control:
                return f"<[{self._control[text]}]>"
        return _dumped(part)

    def _until(self, end: Part) -> str:
        """Any text up to and with ``end``."""
        assert isinstance(end, str)
        if end in self._control:
            return f"TEXT {self._part(end)}"
        return self._rule("until", f"TEXT {_dumped(end)}", options="[lazy]")

    def _rule(self, kind: str, body: str, options: str = "") -> str:
        name = f"{kind}_{len(self._rules)}"
        self._rules.append(f"{name}{options}: {body}")
        return name


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _format_schema(wanted: str) -> dict[str, Any]:
    """The schema of a format, ``json`` or the text of a schema."""
    try:
        schema = ANY_OBJECT if wanted == JSON else json.loads(wanted)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("The format is not a JSON Schema object.") from error
    if not isinstance(schema, dict):
        raise InvalidRequest("The format is not a JSON Schema object.")
    return schema


def _bounded(schema: dict[str, Any]) -> dict[str, Any]:
    check_depth(schema)
    return {**closed(schema), "x-guidance": {"whitespace_pattern": WHITESPACE}}
