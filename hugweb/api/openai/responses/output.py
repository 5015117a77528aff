"""The items that a response answers with, and the events that each of them is streamed as.

Source of names and order: OpenAI's streaming reference. What a model thinks is told as the summary
of its reasoning, which is where clients look for something to show.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar

import msgspec

from hugweb.api.openai.frames import Frame, logprobs_frame, new_id
from hugweb.api.openai.responses.tools import qualified
from hugweb.api.openai.stored.ids import new_item_id
from inference.protocol import Called, Logprob, Text, Thought, ToolCall

COMPLETED, INCOMPLETE, IN_PROGRESS = "completed", "incomplete", "in_progress"


class OutputItem(ABC):
    """An item in the making. Events come without their number, which the response gives them."""

    prefix: ClassVar[str]

    def __init__(self, index: int, response: str) -> None:
        """The item number ``index`` of the response of that id."""
        self.index = index
        self.id = new_item_id(self.prefix, response)
        self._opened = False

    @abstractmethod
    def item(self, status: str) -> Frame:
        """The item as it stands."""

    @abstractmethod
    def open(self) -> Iterator[Frame]:
        """What comes between the item's beginning and its first piece."""

    @abstractmethod
    def close(self) -> Iterator[Frame]:
        """What comes between its last piece and its end."""

    def begin(self) -> Iterator[Frame]:
        """The events of an item that begins, with nothing in it."""
        yield {
            "type": "response.output_item.added",
            "output_index": self.index,
            "item": self.item(IN_PROGRESS),
        }
        self._opened = True
        yield from self.open()

    def end(self, status: str) -> Iterator[Frame]:
        """The events of an item that ends, with all of it."""
        yield from self.close()
        yield {"type": "response.output_item.done", "output_index": self.index, "item": self.item(status)}

    def _event(self, kind: str, **fields: object) -> Frame:
        return {"type": kind, "item_id": self.id, "output_index": self.index, **fields}


class MessageItem(OutputItem):
    """What the model says."""

    prefix = "msg_"

    def __init__(self, index: int, response: str) -> None:
        super().__init__(index, response)
        self._text = ""
        self._logprobs: list[Logprob] = []

    def item(self, status: str) -> Frame:
        return {
            "type": "message",
            "id": self.id,
            "status": status,
            "role": "assistant",
            "content": [self._part()] if self._opened else [],
        }

    def open(self) -> Iterator[Frame]:
        yield self._event("response.content_part.added", content_index=0, part=self._part())

    def add(self, piece: Text) -> Iterator[Frame]:
        """The events of one more piece."""
        self._text += piece.text
        self._logprobs.extend(piece.logprobs)
        yield self._event(
            "response.output_text.delta",
            content_index=0,
            delta=piece.text,
            logprobs=logprobs_frame(piece.logprobs),
        )

    def close(self) -> Iterator[Frame]:
        part = self._part()
        yield self._event(
            "response.output_text.done", content_index=0, text=self._text, logprobs=part["logprobs"]
        )
        yield self._event("response.content_part.done", content_index=0, part=part)

    def _part(self) -> Frame:
        return {
            "type": "output_text",
            "text": self._text,
            "annotations": [],
            "logprobs": logprobs_frame(self._logprobs),
        }


class ReasoningItem(OutputItem):
    """What the model thinks."""

    prefix = "rs_"

    def __init__(self, index: int, response: str) -> None:
        super().__init__(index, response)
        self._text = ""

    def item(self, status: str) -> Frame:
        summary = [self._part()] if self._opened else []
        return {"type": "reasoning", "id": self.id, "summary": summary, "status": status}

    def open(self) -> Iterator[Frame]:
        yield self._event("response.reasoning_summary_part.added", summary_index=0, part=self._part())

    def add(self, piece: Thought) -> Iterator[Frame]:
        """The events of one more piece."""
        self._text += piece.text
        yield self._event("response.reasoning_summary_text.delta", summary_index=0, delta=piece.text)

    def close(self) -> Iterator[Frame]:
        yield self._event("response.reasoning_summary_text.done", summary_index=0, text=self._text)
        yield self._event("response.reasoning_summary_part.done", summary_index=0, part=self._part())

    def _part(self) -> Frame:
        return {"type": "summary_text", "text": self._text}


class CallItem(OutputItem):
    """A tool that the model wants called: it comes whole. In a namespace it is named without that."""

    prefix = "fc_"

    def __init__(self, index: int, response: str, call: ToolCall, namespace: str = "") -> None:
        super().__init__(index, response)
        self._call_id, self._arguments = call.id or new_id("call_"), ""
        self._name = call.name.removeprefix(qualified(namespace, ""))
        self._space = {"namespace": namespace} if namespace else {}

    def item(self, status: str) -> Frame:
        return {
            "type": "function_call",
            "id": self.id,
            "call_id": self._call_id,
            "name": self._name,
            **self._space,
            "arguments": self._arguments,
            "status": status,
        }

    def open(self) -> Iterator[Frame]:
        yield from ()

    def add(self, piece: Called) -> Iterator[Frame]:
        """The events of its arguments."""
        self._arguments = msgspec.json.encode(piece.call.arguments).decode()
        yield self._event("response.function_call_arguments.delta", delta=self._arguments)

    def close(self) -> Iterator[Frame]:
        yield self._event("response.function_call_arguments.done", name=self._name, arguments=self._arguments)


def items(output: Sequence[OutputItem], last: str) -> list[Frame]:
    """All of ``output``; the last of them has the status ``last``."""
    statuses = [COMPLETED] * (len(output) - 1) + [last]
    return [item.item(status) for item, status in zip(output, statuses, strict=False)]
