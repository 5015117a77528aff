"""Telling calls of tools from text, whatever marks a model puts them in.

A format knows one family's way of writing calls; ``Calls`` finds where they begin, waits until a
call is whole, and hands it out. What turns out to be no call that can be made, broken JSON or a
tool that does not exist, becomes text without its marks. White space next to calls is not text.
"""

from __future__ import annotations

import json
import secrets
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

from msgspec import msgpack

from inference.engine.answers.markers import first_marker, unfinished
from inference.engine.answers.syntax import CallSyntax
from inference.protocol import Called, Text, Tool, ToolCall

Tools = Mapping[str, Tool]

# What may stand between two calls that have no marks.
BETWEEN = " \t\r\n;,"


class Found(NamedTuple):
    """A call as the model wrote it: ``source`` is its text, without the marks."""

    name: str
    arguments: dict[str, Any]
    source: str


class Read(NamedTuple):
    """What a format made of the beginning of a text: how many characters it took, and what they are."""

    taken: int
    items: tuple[Found | str, ...]


class CallFormat(CallSyntax):
    """How to read what one family of models writes."""

    openings: tuple[str, ...] = ()
    """Marks, each of which begins calls."""
    strays: tuple[str, ...] = ()
    """Marks that say nothing by themselves, and are never text."""
    stops: tuple[str, ...] = ()
    """Marks at which the answer ends: what follows them is not the model's to say."""
    bare: str = ""
    """Characters with which calls begin without any mark, at the beginning of an answer."""
    ends: str = "}]>"
    """Characters one of which is the last of whatever ends a call."""

    @abstractmethod
    def read(self, opening: str, body: str, tools: Tools, *, final: bool) -> Read | None:
        """What ``body``, the text after ``opening``, begins with; ``None`` while that is not sure.

        With ``final`` no more text comes, and the answer is never ``None``.
        """

    @property
    def marks(self) -> tuple[str, ...]:
        return self.openings + self.strays + self.stops


class Calls:
    """Splits what one answer says into text and calls.

    ``one`` call at most, if that is wanted: ``ended`` says that nothing more may come.
    """

    def __init__(self, form: CallFormat, tools: Tools, *, one: bool = False) -> None:
        self._form = form
        self._tools = tools
        self._one = one
        self._marks = form.marks
        self._held = ""
        self._gap = ""
        self._opening: str | None = None
        self._fresh = True
        self._after_call = False
        self.ended = False

    def push(self, text: str) -> list[Text | Called]:
        """What ``text`` adds; what may be part of a mark or a call is held back."""
        self._held += text
        out: list[Text | Called] = []
        worth = self._opening is None or any(end in text for end in self._form.ends)
        while worth and self._advance(out, final=False):
            pass
        return out

    def finish(self) -> list[Text | Called]:
        """What was held back, now that no more text comes."""
        out: list[Text | Called] = []
        while self._advance(out, final=True):
            pass
        self._say(out, self._held)
        if self._gap and not self._after_call:
            out.append(Text(text=self._gap))
        self._held = self._gap = ""
        return out

    def _advance(self, out: list[Text | Called], *, final: bool) -> bool:
        """One step through what is held; whether another may follow."""
        if self.ended:
            self._held = ""
        if not self._held:
            return False
        if self._opening is not None:
            return self._read(out, final=final)
        if self._form.bare and self._fresh:
            start = (self._gap + self._held).lstrip(BETWEEN if self._after_call else None)
            if not start:
                return self._wait(final=final)
            if start[0] in self._form.bare:
                self._opening, self._held, self._gap = "", start, ""
                return True
        return self._find(out)

    def _wait(self, *, final: bool) -> bool:
        """Nothing but white space, or what stands between calls: what comes next decides."""
        if final and self._after_call:
            self._held = self._gap = ""
        elif final:
            self._gap, self._held = self._gap + self._held, ""
        return False

    def _find(self, out: list[Text | Called]) -> bool:
        """Look for the next mark, and say what stands before it."""
        found = first_marker(self._held, self._marks)
        if found is None:
            keep = unfinished(self._held, self._marks)
            said, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
            self._say(out, said)
            return False
        at, mark = found
        self._say(out, self._held[:at])
        self._held = self._held[at + len(mark) :]
        if mark in self._form.openings:
            self._opening, self._gap = mark, ""
        self.ended = mark in self._form.stops
        return True

    def _read(self, out: list[Text | Called], *, final: bool) -> bool:
        """Have the format read what stands after an opening."""
        assert self._opening is not None
        read = self._form.read(self._opening, self._held, self._tools, final=final)
        if read is None:
            return False
        self._opening, self._held = None, self._held[read.taken :]
        for item in read.items:
            self._hand_out(out, item)
        return True

    def _hand_out(self, out: list[Text | Called], item: Found | str) -> None:
        if self.ended:
            return
        if isinstance(item, Found) and item.name in self._tools:
            call = ToolCall(name=item.name, arguments=item.arguments, id=f"call_{secrets.token_hex(4)}")
            out.append(Called(call=call))
            self._after_call, self.ended = True, self._one
        else:
            self._say(out, self._unmarked(item if isinstance(item, str) else item.source))

    def _unmarked(self, text: str) -> str:
        for mark in self._marks:
            text = text.replace(mark, "")
        return text

    def _say(self, out: list[Text | Called], text: str) -> None:
        """``text`` is text; white space at its end waits for what comes next."""
        text = self._gap + text
        said = text.rstrip()
        self._gap = text[len(said) :]
        if said:
            out.append(Text(text=said))
            self._fresh = self._after_call = False


def found_call(source: str) -> Found | str:
    """The call that a JSON object with a name and arguments is, or ``source`` where it is none."""
    try:
        return found_in(parsed(source), source)
    except ValueError:
        return source


def found_in(value: Any, source: str) -> Found | str:
    """The call in a JSON value: its name and its arguments, each under either of their names."""
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        value = value["function"]
    name = value.get("name", value.get("tool_name")) if isinstance(value, dict) else None
    if not isinstance(name, str):
        return source
    return found_arguments(name, value.get("arguments", value.get("parameters", {})), source)


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


def found_arguments(name: str, given: Any, source: str) -> Found | str:
    """The call of ``name`` with arguments, an object or the text of one."""
    try:
        given = parsed(given) if isinstance(given, str) else given
    except ValueError:
        return source
    return Found(name, given, source) if isinstance(given, dict) else source


def parsed(text: str) -> Any:
    """The value of a JSON text; ``ValueError`` for what is none, or cannot be sent.

    Line breaks within strings are let through: models write them.
    """
    try:
        return sendable(json.loads(text, strict=False))
    except RecursionError as error:
        raise ValueError from error


def sendable(value: Any) -> Any:
    """``value``; ``ValueError`` for one that is no JSON, as infinity is not, or cannot go over the wire."""
    try:
        json.dumps(value, allow_nan=False)
        msgpack.encode(value)
    except (TypeError, RecursionError, OverflowError) as error:
        raise ValueError from error
    return value
