"""Answers of gpt-oss, whose every part is a message in a channel.

``<|channel|>NAME<|message|>TEXT`` and a mark at its end, then ``<|start|>assistant`` and the next
one. What is in ``analysis`` is thought; ``commentary to=functions.NAME`` calls a tool; the rest is
said. Source: OpenAI's description of the harmony format.
"""

from __future__ import annotations

import re
import secrets

from inference.engine.answers.calls import Found, Tools, found_arguments
from inference.engine.answers.markers import first_marker, unfinished
from inference.engine.answers.syntax import CallSyntax, Json, Parts, ThoughtSyntax
from inference.protocol import Called, Piece, Text, Thought, Tool, ToolCall

CHANNEL, MESSAGE, START, CONSTRAIN = "<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"
ENDS = ("<|end|>", "<|call|>", "<|return|>")
MARKS = (CHANNEL, MESSAGE, START, CONSTRAIN, *ENDS)
THOUGHT = ThoughtSyntax(
    opening=(CHANNEL, "analysis", MESSAGE),
    closing=(ENDS[0], START, "assistant"),
    said=(CHANNEL, "final", MESSAGE),
)
RECIPIENT = re.compile(r"\bto=functions\.(\S+)")


class HarmonyReader:
    """Reads channels; a mark that is out of place is dropped.

    It begins within a header, since the prompt ends with a start. An answer without any mark is text.
    """

    def __init__(self, tools: Tools, *, one: bool = False) -> None:
        self._tools = tools
        self._one = one
        self._held = ""
        self._header = ""
        self._in_header = True
        self._marked = False
        self._body = ""
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether the answer holds all that it may hold."""
        return self._ended

    def push(self, text: str) -> list[Piece]:
        """The pieces that ``text`` completes."""
        self._held += text
        out: list[Piece] = []
        while found := first_marker(self._held, MARKS):
            at, mark = found
            self._take(out, self._held[:at])
            self._held = self._held[at + len(mark) :]
            self._mark(out, mark)
        keep = unfinished(self._held, MARKS)
        self._take(out, self._held[: len(self._held) - keep])
        self._held = self._held[len(self._held) - keep :]
        return out

    def finish(self) -> list[Piece]:
        """What was held back, now that no more text comes."""
        out: list[Piece] = []
        self._take(out, self._held)
        self._held = ""
        self._close(out)
        if not self._marked and self._header:
            out.append(Text(text=self._header))
        return out

    @property
    def _called(self) -> str:
        """The tool that the message under way is for; empty for any other message."""
        found = RECIPIENT.search(self._header) if self._tools else None
        return found[1] if found else ""

    def _take(self, out: list[Piece], text: str) -> None:
        if self._ended or not text:
            return
        if self._in_header:
            self._header += text
        elif self._called:
            self._body += text
        else:
            thought = "analysis" in self._header.split()
            out.append(Thought(text=text) if thought else Text(text=text))

    def _mark(self, out: list[Piece], mark: str) -> None:
        self._marked = True
        if self._in_header and mark in {CHANNEL, CONSTRAIN}:
            self._header += " "
        elif mark == MESSAGE:
            self._in_header = False
        else:
            self._close(out)
            self._header = ""
            self._in_header = mark in {CHANNEL, START}

    def _close(self, out: list[Piece]) -> None:
        """The message under way is whole: if it is a call, hand it out."""
        name, body, self._body = self._called, self._body.strip(), ""
        if not name or self._in_header or self._ended:
            return
        call = found_arguments(name, body or "{}", body)
        if isinstance(call, Found) and name in self._tools:
            made = ToolCall(name=name, arguments=call.arguments, id=f"call_{secrets.token_hex(4)}")
            out.append(Called(call=made))
            self._ended = self._one
        elif body:
            out.append(Text(text=body))


class HarmonyCalls(CallSyntax):
    """A call as gpt-oss writes it."""

    marks = MARKS

    def call(self, tool: Tool) -> Parts:
        head = f"commentary to=functions.{tool.name} "
        return (CHANNEL, head, CONSTRAIN, "json", MESSAGE, Json(tool.parameters), ENDS[1])
