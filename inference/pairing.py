"""Which result of a tool answers which call: names and ids where a client left them out.

Templates ask for both, and clients drop one or the other: Ollama's knows no ids, OpenAI's and
Anthropic's give results no names. Ids that are made up here depend on the place alone, so a
conversation that grows is read the same way each time. The dialects do it for every provider, the
engine for whoever asks it directly; what is paired stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from inference.protocol import Message, ToolCall


def results_paired(messages: Iterable[Message]) -> tuple[Message, ...]:
    """``messages`` with an id on each call, and an id and a name on each result that has a call."""
    paired: list[Message] = []
    waiting: list[ToolCall] = []
    # The first number is left for results that answer no call.
    number = 1
    for message in messages:
        if message.tool_calls:
            waiting = [
                replace(call, id=call.id or f"call_{number + index:08d}")
                for index, call in enumerate(message.tool_calls)
            ]
            number += len(waiting)
            message = replace(message, tool_calls=tuple(waiting))
        elif message.role == "tool" and (call := _answered(message, waiting)):
            waiting.remove(call)
            message = replace(message, tool_name=message.tool_name or call.name, tool_call_id=call.id)
        paired.append(message)
    return tuple(paired)


def _answered(result: Message, waiting: list[ToolCall]) -> ToolCall | None:
    """The call that ``result`` belongs to: by its id, else by its name, else the next one."""
    if result.tool_call_id:
        return next((call for call in waiting if call.id == result.tool_call_id), None)
    if result.tool_name:
        return next((call for call in waiting if call.name == result.tool_name), None)
    return next(iter(waiting), None)
