"""A response in the making: our events as the events that OpenAI streams, in their order, numbered.

An answer in one piece is the response that the last of these events carries.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from itertools import count

import msgspec

from hugweb.api.generation import Content
from hugweb.api.openai.frames import Frame
from hugweb.api.openai.responses.output import (
    COMPLETED,
    INCOMPLETE,
    CallItem,
    MessageItem,
    OutputItem,
    ReasoningItem,
    items,
)
from hugweb.api.shape import error_body
from inference.errors import InferenceError
from inference.protocol import Called, Done, Text, Thought, Usage

ENDS = {f"response.{COMPLETED}", f"response.{INCOMPLETE}"}


class ResponseEvents:
    """Writes one response; ``response`` is what it is before anything is in it, ``path`` its endpoint's,
    ``namespaces`` those of its tools, by the names that the model calls these by.
    """

    def __init__(self, response: Frame, path: str, namespaces: Mapping[str, str]) -> None:
        self._response = response
        self._id: str = response["id"]
        self._path = path
        self._namespaces = namespaces
        self._output: list[OutputItem] = []
        self._numbers = count()
        self._begun = False
        self._reasoning = 0

    def of(self, event: Content) -> Iterator[Frame]:
        """The frames of ``event``; the last of ``Done``'s carries the whole response."""
        if not self._begun:
            self._begun = True
            for kind in ("response.created", "response.in_progress"):
                yield self._numbered({"type": kind, "response": self._response})
        for frame in self._of(event):
            yield self._numbered(frame)

    def failed(self, error: InferenceError) -> Iterator[Frame]:
        """The end of a response that fails: what became of it, and the error that clients raise."""
        told = error_body(self._path, error)["error"]
        response = self._response | {
            "status": "failed",
            "error": {"code": "server_error", "message": error.message},
            "output": items(self._output, INCOMPLETE),
        }
        yield self._numbered({"type": "response.failed", "response": response})
        yield self._numbered(told | {"type": "error", "error": told})

    def _numbered(self, frame: Frame) -> Frame:
        return frame | {"sequence_number": next(self._numbers)}

    def _of(self, event: Content) -> Iterator[Frame]:
        match event:
            case Text():
                yield from self._said(event)
            case Thought():
                yield from self._thought(event)
            case Called():
                yield from self._called(event)
            case Done():
                yield from self._end(event)

    def _said(self, piece: Text) -> Iterator[Frame]:
        item = self._current()
        if not isinstance(item, MessageItem):
            if self._output and not piece.text:
                return  # Logprobs that no text is left for are no message.
            item = MessageItem(len(self._output), self._id)
            yield from self._begin(item)
        yield from item.add(piece)

    def _thought(self, piece: Thought) -> Iterator[Frame]:
        self._reasoning += piece.tokens
        item = self._current()
        if not isinstance(item, ReasoningItem):
            if not piece.text:
                return
            item = ReasoningItem(len(self._output), self._id)
            yield from self._begin(item)
        yield from item.add(piece)

    def _called(self, piece: Called) -> Iterator[Frame]:
        item = CallItem(len(self._output), self._id, piece.call, self._namespaces.get(piece.call.name, ""))
        yield from self._begin(item)
        yield from item.add(piece)

    def _begin(self, item: OutputItem) -> Iterator[Frame]:
        if self._output:
            yield from self._output[-1].end(COMPLETED)
        self._output.append(item)
        yield from item.begin()

    def _end(self, done: Done) -> Iterator[Frame]:
        if not self._output:
            yield from self._begin(MessageItem(0, self._id))
        status = INCOMPLETE if done.reason == "length" else COMPLETED
        yield from self._output[-1].end(status)
        yield {"type": f"response.{status}", "response": self._ended(done.usage, status)}

    def _ended(self, usage: Usage, status: str) -> Frame:
        cut = status == INCOMPLETE
        return self._response | {
            "status": status,
            "completed_at": None if cut else int(time.time()),
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "output": items(self._output, status),
            "usage": _usage(usage, self._reasoning),
        }

    def _current(self) -> OutputItem | None:
        return self._output[-1] if self._output else None


def _usage(usage: Usage, reasoning: int) -> Frame:
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": 0},
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": usage.prompt + usage.completion,
    }


def encoded(frame: Frame) -> bytes:
    """``frame`` as a server-sent event."""
    return b"event: %s\ndata: %s\n\n" % (frame["type"].encode(), msgspec.json.encode(frame))
