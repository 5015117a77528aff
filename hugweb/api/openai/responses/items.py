"""The items that a response is asked with, turned into our messages.

Items are finer than messages: what a model thought, said and called in one turn are items of their
own there, and one message here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Struct

from hugweb.api.fields import case, told
from hugweb.api.openai.messages import ARGUMENTS, check_count, read_arguments
from hugweb.api.openai.parts import CONTENT, Part, read_content
from hugweb.api.openai.responses.references import REFERENCE
from hugweb.api.openai.responses.tools import qualified
from inference.errors import InvalidRequest, Unsupported
from inference.pairing import results_paired
from inference.protocol import MAX_CALLS, MAX_MESSAGES, Message, Role, ToolCall

# Several of which may be one message.
MAX_ITEMS = 3 * MAX_MESSAGES
_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}


class Thought(Struct, kw_only=True):
    """A part of what a model thought."""

    text: str
    type: str = "summary_text"


Status = Literal["in_progress", "completed", "incomplete"]


class Item(Struct, kw_only=True):
    """An item; which fields count is said by ``type``."""

    type: str = "message"
    id: str = ""
    status: Status = "completed"
    role: str = ""
    content: str | list[Part] | None = None
    summary: list[Thought] = []
    call_id: str = ""
    name: str = ""
    namespace: str = ""
    arguments: str = ""
    output: str | list[Part] | None = None


class DescribedItem(Struct, kw_only=True):
    """An item; which fields count is said by ``type``. One that is null counts as not given."""

    type: str | None = "message"
    id: str | None = ""
    status: Status | None = "completed"
    role: str | None = ""
    content: str | list[Part] | None = None
    summary: list[Thought] | None = []
    call_id: str | None = ""
    name: str | None = ""
    namespace: str | None = ""
    arguments: str | None = ""
    output: str | list[Part] | None = None


_GIVEN = {"type": "string", "minLength": 1}
_CASES = [
    {
        "properties": {
            "type": {"enum": ["message", None]},
            "role": {"enum": list(_ROLES)},
            "content": CONTENT,
        },
        "required": ["role"],
    },
    case("type", "reasoning"),
    case("type", "function_call", needs=("name",), name=_GIVEN, arguments=ARGUMENTS),
    case("type", "function_call_output", output=CONTENT),
    case("type", REFERENCE, needs=("id",), id={"type": "string"}),
]
GivenItem = Annotated[DescribedItem, told(anyOf=_CASES)]


@dataclass
class _Turn:
    """What a model did until somebody else spoke."""

    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    is_cut: bool = False

    def say(self, text: str, *, is_cut: bool) -> None:
        """Add ``text``, right where the last one was cut."""
        if self.is_cut:
            self.texts[-1] += text
        else:
            self.texts.append(text)
        self.is_cut = is_cut

    def message(self) -> Message:
        return Message(
            role="assistant",
            content="\n".join(self.texts),
            thinking="\n".join(self.thoughts),
            tool_calls=tuple(self.calls),
        )


@dataclass
class _Reader:
    """Reads items one after the other; ``param`` is where they stand in the request, for errors."""

    messages: list[Message] = field(default_factory=list)
    turn: _Turn | None = None

    def read(self, item: Item, param: str) -> None:
        match item.type:
            case "reasoning":
                self._current().thoughts.append(_thought(item))
            case "function_call":
                self._call(item, param)
            case "function_call_output":
                self._result(item, param)
            case "message" if item.role == "assistant":
                self._current().say(_said(item, param), is_cut=item.status == "incomplete")
            case "message":
                self._message(item, param)
            case _:
                raise Unsupported(f"Items of type '{item.type}' are not supported.", param=f"{param}.type")

    def close(self) -> None:
        """End the model's turn."""
        if self.turn is not None:
            self.messages.append(self.turn.message())
            self.turn = None

    def _current(self) -> _Turn:
        self.turn = self.turn or _Turn()
        return self.turn

    def _call(self, item: Item, param: str) -> None:
        if not item.name:
            raise InvalidRequest("A call needs the name of its function.", param=f"{param}.name")
        arguments = read_arguments(item.arguments, f"{param}.arguments")
        calls = self._current().calls
        if len(calls) == MAX_CALLS:
            raise InvalidRequest(f"At most {MAX_CALLS} calls are taken.", param=param)
        name = qualified(item.namespace, item.name)
        calls.append(ToolCall(name=name, arguments=arguments, id=item.call_id))

    def _result(self, item: Item, param: str) -> None:
        self.close()
        contents = read_content(item.output, f"{param}.output")
        self.messages.append(
            Message(
                role="tool",
                content=contents.text,
                images=tuple(contents.images),
                audios=tuple(contents.audios),
                tool_call_id=item.call_id,
            )
        )

    def _message(self, item: Item, param: str) -> None:
        self.close()
        role = _ROLES.get(item.role)
        if role is None:
            raise InvalidRequest(f"invalid role: '{item.role}'", param=f"{param}.role")
        contents = read_content(item.content, f"{param}.content")
        self.messages.append(
            Message(
                role=role,
                content=contents.text,
                images=tuple(contents.images),
                audios=tuple(contents.audios),
            )
        )


def read_items(history: Sequence[Item], new: Sequence[Item]) -> tuple[Message, ...]:
    """``history``, then ``new``, as messages."""
    reader = _Reader()
    for number, item in enumerate(history):
        reader.read(item, f"previous_response_id[{number}]")
    for number, item in enumerate(new):
        reader.read(item, f"input[{number}]")
    reader.close()
    if not reader.messages:
        raise InvalidRequest("input is required", param="input")
    check_count(len(reader.messages), "input")
    return results_paired(reader.messages)


def _said(item: Item, param: str) -> str:
    """What a model said; files it has not made."""
    contents = read_content(item.content, f"{param}.content")
    if contents.images or contents.audios:
        raise InvalidRequest("What an assistant said is text.", param=f"{param}.content")
    return contents.text


def _thought(item: Item) -> str:
    """What a model thought: all of it where it is told, else its summary."""
    parts: Sequence[Part | Thought] = item.content if isinstance(item.content, list) else ()
    return "\n".join(part.text for part in parts or item.summary)
