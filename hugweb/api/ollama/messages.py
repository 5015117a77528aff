"""Ollama's messages and tools, and ours made of them.

Source: Ollama's ``api/types.go`` as of v0.33. Wrong types are refused when the body is parsed; what
is refused here are unknown roles, files that are no media, and tools without a name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, get_args

import msgspec
from msgspec import Struct, ValidationError

from hugweb.api.depth import arguments_checked
from hugweb.api.fields import ImageOrSound, told
from hugweb.api.media import media_sort
from hugweb.api.schema import schema_text
from inference.errors import InvalidRequest
from inference.pairing import results_paired
from inference.protocol import MAX_CALLS, MAX_IMAGES, MAX_MESSAGES, MAX_TOOLS, Message, Role, Tool, ToolCall


class GivenFunction(Struct):
    """The function of a call."""

    name: str
    arguments: dict[str, Any] = {}


class GivenCall(Struct):
    """A call of an earlier turn."""

    function: GivenFunction
    id: str | None = None

    def ours(self) -> ToolCall:
        arguments = arguments_checked(self.function.arguments)
        return ToolCall(name=self.function.name, arguments=arguments, id=self.id or "")


class ChatMessage(Struct):
    """One message."""

    role: Annotated[str, told(enum=get_args(Role))]
    content: str | None = None
    thinking: str | None = None
    images: Annotated[list[ImageOrSound], told(maxItems=MAX_IMAGES)] | None = None
    tool_calls: Annotated[list[GivenCall], told(maxItems=MAX_CALLS)] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None

    def ours(self) -> Message:
        calls = self.tool_calls or ()
        if len(calls) > MAX_CALLS:
            raise InvalidRequest(f"{len(calls)} tool calls are too many; at most {MAX_CALLS} are taken.")
        media = media_sort(self.images or ())
        return Message(
            role=self._role(),
            content=self.content or "",
            thinking=self.thinking or "",
            tool_calls=tuple(call.ours() for call in calls),
            tool_name=self.tool_name or "",
            tool_call_id=self.tool_call_id or "",
            images=media.images,
            audios=media.audios,
        )

    def _role(self) -> Role:
        try:
            return msgspec.convert(self.role.lower(), Role)
        except ValidationError as error:
            raise InvalidRequest(f"invalid role: {self.role!r}") from error


def messages_ours(messages: Sequence[ChatMessage]) -> tuple[Message, ...]:
    """``messages`` as ours, every result of a tool with the call it answers."""
    if len(messages) > MAX_MESSAGES:
        raise InvalidRequest(f"{len(messages)} messages are too many; at most {MAX_MESSAGES} are taken.")
    return results_paired(message.ours() for message in messages)


class GivenDefinition(Struct):
    """The function that a tool is."""

    name: str = ""
    description: str | None = None
    parameters: dict[str, Any] | None = None


class GivenTool(Struct):
    """A tool that the model may ask for."""

    function: GivenDefinition | None = None

    def ours(self) -> Tool:
        if self.function is None or not self.function.name:
            raise InvalidRequest("invalid tools: each needs a function with a name")
        parameters = self.function.parameters or {}
        schema_text(parameters)
        try:
            return msgspec.convert(
                {
                    "name": self.function.name,
                    "description": self.function.description or "",
                    "parameters": parameters,
                },
                Tool,
            )
        except ValidationError as error:
            raise InvalidRequest(f"invalid tools: {error}") from error


_NAMED = {"required": ["name"], "properties": {"name": {"minLength": 1, "maxLength": 256}}}
DescribedTool = Annotated[
    GivenTool, told(required=["function"], properties={"function": {"type": "object", **_NAMED}})
]


def tools_ours(tools: Sequence[GivenTool]) -> tuple[Tool, ...]:
    """``tools`` as ours."""
    if len(tools) > MAX_TOOLS:
        raise InvalidRequest(f"{len(tools)} tools are too many; at most {MAX_TOOLS} are taken.")
    return tuple(tool.ours() for tool in tools)
