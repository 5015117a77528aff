"""A reader for models that declare how they are read, by transformers' ``response_template``.

transformers' own streaming parser does the work. It drops what belongs to no declared field, and
raises where a call is not what was declared: from there on everything is text.
"""

from __future__ import annotations

import json
import logging
import secrets
from copy import deepcopy
from typing import Any

from transformers.utils.chat_parsing import ResponseParser
from transformers.utils.chat_parsing.response_templates import load_response_template

from inference.engine.answers.calls import Found, Tools, found_in
from inference.engine.chat import schemas
from inference.protocol import Called, Piece, Text, Thought, ToolCall

logger = logging.getLogger(__name__)

THOUGHT_FIELDS = frozenset({"reasoning_content", "thinking", "reasoning"})
TEXT_FIELD, CALLS_FIELD = "content", "tool_calls"


def declared(tokenizer: Any) -> dict[str, Any] | None:
    """How the model declares that it is read, if it does, and can be."""
    template = getattr(tokenizer, "response_template", None)
    if not isinstance(template, dict):
        return None
    try:
        load_response_template(template)
    except (ValueError, TypeError, AttributeError) as error:
        logger.warning("The model's response_template is not used: %s", error)
        return None
    return template


class DeclaredReader:
    """Reads one answer by ``template``, which comes after ``prompt``."""

    def __init__(self, template: dict[str, Any], prompt: str, tools: Tools, *, one: bool = False) -> None:
        self._tools = tools
        self._one = one
        # With their schemas, arguments that are written as text get their types.
        self._parser: Any = ResponseParser(
            _lenient(template, calls=bool(tools)), prefix=prompt, tools=schemas(tuple(tools.values()))
        )
        self._pending = ""
        self._begun: set[str] = set()
        self._gap = ""
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether the answer holds all that it may hold."""
        return self._ended

    def push(self, text: str) -> list[Piece]:
        """The pieces that ``text`` completes."""
        if self._parser is None:
            return self._said(text)
        self._pending += text
        try:
            return self._pieces(self._parser.feed(text))
        except (ValueError, KeyError, TypeError):
            return self._give_up()

    def finish(self) -> list[Piece]:
        """What was held back, now that no more text comes."""
        if self._parser is None:
            return []
        try:
            return self._pieces(self._parser.finalize()[1])
        except (ValueError, KeyError, TypeError):
            return self._give_up()

    def _give_up(self) -> list[Piece]:
        self._parser = None
        pending, self._pending = self._pending, ""
        return self._said(pending)

    def _said(self, text: str) -> list[Piece]:
        return [Text(text=text)] if text and not self._ended else []

    def _pieces(self, events: list[dict[str, Any]]) -> list[Piece]:
        return [piece for event in events if not self._ended for piece in self._piece(event)]

    def _piece(self, event: dict[str, Any]) -> list[Piece]:
        field, text = event["field"], event.get("text", "")
        if event["type"] == "region_close":
            self._pending = self._gap = ""
            return self._calls(event["value"]) if field == CALLS_FIELD else []
        if not text or event.get("dirty"):
            return []
        self._pending = ""
        return self._shown(field, text) if field in THOUGHT_FIELDS or field == TEXT_FIELD else []

    def _shown(self, field: str, text: str) -> list[Piece]:
        """``text`` of a field, without the white space on its sides, as transformers has it in the end."""
        text = self._gap + text
        text = text if field in self._begun else text.lstrip()
        said = text.rstrip()
        self._gap = text[len(said) :]
        if not said:
            return []
        self._begun.add(field)
        return [Thought(text=said) if field in THOUGHT_FIELDS else Text(text=said)]

    def _calls(self, value: Any) -> list[Piece]:
        values = value if isinstance(value, list) else [value]
        pieces = [self._call(found_in(call, _source(call))) for call in values if not self._ended]
        return [piece for piece in pieces if isinstance(piece, Called) or piece.text]

    def _call(self, found: Found | str) -> Text | Called:
        if not isinstance(found, Found) or found.name not in self._tools:
            return Text(text=found if isinstance(found, str) else found.source)
        self._ended = self._one
        call = ToolCall(name=found.name, arguments=found.arguments, id=f"call_{secrets.token_hex(4)}")
        return Called(call=call)


def _source(call: Any) -> str:
    """A call as text; one that could not be read is the text that it was."""
    inner = call.get("function", call) if isinstance(call, dict) else call
    return inner if isinstance(inner, str) else json.dumps(inner, ensure_ascii=False)


def _lenient(template: dict[str, Any], *, calls: bool) -> dict[str, Any]:
    """``template`` with broken JSON read as text, and without calls where there are no tools."""
    template = deepcopy(template)
    fields = template.get("fields", {})
    if not calls:
        fields.pop(CALLS_FIELD, None)
    for field in fields.values():
        if field.get("content") == "json":
            field["content_args"] = {**field.get("content_args", {}), "allow_non_json": True}
    return template
