"""The messages of a chat as OpenAI writes them, turned into ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Struct

from hugweb.api.depth import arguments_checked
from hugweb.api.fields import NOT_NULL, case, told
from hugweb.api.openai.parts import Content, read_content
from inference.errors import InvalidRequest
from inference.pairing import results_paired
from inference.protocol import MAX_CALLS, MAX_MESSAGES, Message, Role, ToolCall

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}


ARGUMENTS = {"contentMediaType": "application/json", "contentSchema": {"type": "object"}}


class CalledFunction(Struct, kw_only=True):
    """``arguments`` is JSON in a string."""

    name: str
    arguments: Annotated[str, told(**ARGUMENTS)] = "{}"


class Call(Struct, kw_only=True):
    """A call that the model asked for in an earlier turn."""

    function: CalledFunction
    id: str = ""


class ChatMessage(Struct, kw_only=True):
    """One message. ``reasoning_content`` and ``reasoning`` are one thing by two names, vLLM's and ours.

    ``function_call`` is a call as it was before there were other tools; what comes of it has no id.
    """

    role: str
    content: Content = None
    name: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: Annotated[list[Call], told(maxItems=MAX_CALLS)] | None = None
    tool_call_id: str | None = None
    function_call: CalledFunction | None = None


# Only what a model did may be without words.
_CASES = [
    case("role", "assistant"),
    case("role", *(role for role in _ROLES if role != "assistant"), needs=("content",), content=NOT_NULL),
]
GivenMessage = Annotated[ChatMessage, told(anyOf=_CASES)]


def read_messages(given: Sequence[ChatMessage]) -> tuple[Message, ...]:
    """``given`` as ours."""
    if not given:
        raise InvalidRequest("[] is too short - 'messages'", param="messages")
    check_count(len(given), "messages")
    return results_paired(_message(message, number) for number, message in enumerate(given))


def check_count(count: int, param: str) -> None:
    """Refuse more messages than the engine takes."""
    if count > MAX_MESSAGES:
        raise InvalidRequest(f"{count} messages are too many; at most {MAX_MESSAGES} are taken.", param=param)


def _message(given: ChatMessage, number: int) -> Message:
    place = f"messages[{number}]"
    role = _ROLES.get(given.role)
    if role is None:
        raise InvalidRequest(f"invalid role: '{given.role}'", param=f"{place}.role")
    if given.content is None and role != "assistant":
        raise InvalidRequest("A message needs content.", param=f"{place}.content")
    contents = read_content(given.content, f"{place}.content")
    return Message(
        role=role,
        content=contents.text,
        images=tuple(contents.images),
        audios=tuple(contents.audios),
        thinking=given.reasoning_content or given.reasoning or "",
        tool_calls=_calls(given, place),
        tool_call_id=given.tool_call_id or "",
        tool_name=(given.name or "") if role == "tool" else "",
    )


def _calls(given: ChatMessage, place: str) -> tuple[ToolCall, ...]:
    if given.function_call and not given.tool_calls:
        return (_call(given.function_call, "", f"{place}.function_call"),)
    calls = given.tool_calls or ()
    if len(calls) > MAX_CALLS:
        raise InvalidRequest(f"At most {MAX_CALLS} calls are taken.", param=f"{place}.tool_calls")
    return tuple(
        _call(call.function, call.id, f"{place}.tool_calls[{number}].function")
        for number, call in enumerate(calls)
    )


def _call(function: CalledFunction, id: str, place: str) -> ToolCall:
    arguments = read_arguments(function.arguments, f"{place}.arguments")
    return ToolCall(name=function.name, id=id, arguments=arguments)


def read_arguments(text: str, param: str) -> dict[str, Any]:
    """The arguments of a call, which come as JSON in a string; none of them may be an empty string."""
    try:
        arguments = msgspec.json.decode(text or "{}", type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequest("invalid tool call arguments", param=param) from error
    return arguments_checked(arguments, param)
