"""What a chat consists of: messages, tools, and calls of tools."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from inference.protocol.limits import MAX_CALLS, MAX_IMAGES

Role = Literal["system", "user", "assistant", "tool"]


class ToolCall(Struct, frozen=True, kw_only=True):
    """A call of a tool that a model asks for. ``id`` is unique within a conversation."""

    name: str
    arguments: dict[str, Any]
    id: str = ""


class Tool(Struct, frozen=True, kw_only=True):
    """A function that a model may ask to have called; ``parameters`` is a JSON Schema."""

    name: Annotated[str, Meta(min_length=1, max_length=256)]
    description: str = ""
    parameters: dict[str, Any] = {}


class Message(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message of a chat, as the model's template will see it.

    ``thinking`` and ``tool_calls`` are an assistant's; ``tool_name`` and ``tool_call_id`` say which
    call the result of a tool answers. ``images`` are whole files and stand before the text;
    ``audios`` likewise.
    """

    role: Role
    content: str = ""
    thinking: str = ""
    tool_calls: Annotated[tuple[ToolCall, ...], Meta(max_length=MAX_CALLS)] = ()
    tool_name: str = ""
    tool_call_id: str = ""
    images: Annotated[tuple[bytes, ...], Meta(max_length=MAX_IMAGES)] = ()
    audios: Annotated[tuple[bytes, ...], Meta(max_length=MAX_IMAGES)] = ()
