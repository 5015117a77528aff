"""A model's own chat template: messages, tools and thinking in, tokens out.

Control tokens in what people, tools and models wrote are encoded as plain text, so that nobody can
speak in another's role. What the template refuses is the request's mistake, in the template's words.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import msgspec

from inference.chat_templates import EFFORT, JSON_TOOLS, SWITCHES, TOOLS, takes_tools, variables
from inference.engine.call_ids import CallIds
from inference.engine.template_worker import REFUSALS
from inference.engine.templating import isolate_templates
from inference.errors import InvalidRequest, Unsupported
from inference.pairing import results_paired
from inference.protocol import Message, Think, Tool, ToolCall

# The id of a result that answers no call.
NO_CALL = "call_00000000"
# gpt-oss cannot leave thinking, and knows no effort beyond the highest.
EFFORTS = {True: "medium", False: "low", "max": "high"}
# Templates come with models' files: none is rendered in the process that holds models.
isolate_templates()


class ChatTemplate:
    """Renders chats with one model's tokenizer, through the template that is ``given`` or its own."""

    def __init__(self, tokenizer: Any, given: str = "") -> None:
        self._tokenizer = tokenizer
        self._given = given

    def source(self, tools: Sequence[Tool]) -> str:
        """The template's text; models may have another one for tools. Empty where there is none."""
        if self._given or not self._tokenizer.chat_template:
            return self._given
        try:
            source: str = self._tokenizer.get_chat_template(tools=schemas(tools) or None)
        except ValueError as error:
            raise InvalidRequest(
                "The model has several chat templates and says of none when to use it."
            ) from error
        return source

    def render(self, messages: Sequence[Message], tools: Sequence[Tool], think: Think) -> list[int]:
        """Token ids of the chat, up to where the answer begins; an answer that stands at the end goes on.

        The model has a template, or one is given.
        """
        source = self.source(tools)
        if tools and not takes_tools(source):
            raise Unsupported("This model does not support tools: its chat template has no place for them.")
        self._refuse_control_tokens(source, messages, tools)
        known = variables(source)
        place = JSON_TOOLS if JSON_TOOLS in known and TOOLS not in known else TOOLS
        options = {place: schemas(tools) or None, **thinking_variables(known, think)}
        chat = as_dicts(messages, CallIds(source))
        try:
            return self._encoded(chat, options)
        except REFUSALS as error:
            reason = str(error)[:300]
            raise InvalidRequest(f"The chat template refuses these messages: {reason}") from error

    def _encoded(self, chat: list[dict[str, Any]], options: dict[str, Any]) -> list[int]:
        if _goes_on(chat):
            # Where the template changes what was said, its end cannot be found: then a new answer begins.
            with contextlib.suppress(ValueError):
                return self._applied(chat, options, goes_on=True)
        return self._applied(chat, options, goes_on=False)

    def _applied(self, chat: list[dict[str, Any]], options: dict[str, Any], *, goes_on: bool) -> list[int]:
        apply = partial(
            self._tokenizer.apply_chat_template,
            chat_template=self._given or None,
            add_generation_prompt=not goes_on,
            continue_final_message=goes_on,
            return_dict=True,
            sanitize_control_tokens=True,
            **options,
        )
        try:
            rendered: list[int] = apply(chat)["input_ids"]
        except TypeError:
            # Some templates join arguments to their text: for them they have to be text.
            rendered = apply(_with_text_arguments(chat))["input_ids"]
        return rendered

    def _refuse_control_tokens(self, source: str, messages: Sequence[Message], tools: Sequence[Tool]) -> None:
        """Names of tools become part of grammars, and names within arguments and schemas are not encoded as
        text: control tokens must not be there."""
        values = [call.arguments for message in messages for call in message.tool_calls]
        inner = _names([*values, *(tool.parameters for tool in tools)])
        names = "\0".join((*inner, *(tool.name for tool in tools)))
        if not names:
            return
        for token in self._tokenizer.added_tokens_decoder.values():
            text = token.content
            if text in names and not text.isspace() and (token.special or text in source):
                raise InvalidRequest(
                    f"Names of tools and parameters must not hold the model's control token {text!r}."
                )


def _goes_on(chat: Sequence[dict[str, Any]]) -> bool:
    """Whether the last message begins the answer, as clients of Ollama and Anthropic write it."""
    last = chat[-1] if chat else {}
    return last.get("role") == "assistant" and bool(last.get("content")) and not last.get("tool_calls")


def thinking_variables(known: frozenset[str], think: Think) -> dict[str, Any]:
    """What tells a template that reads ``known`` to think, or not to; nothing for ``None``."""
    if think is None:
        return {}
    switches: dict[str, Any] = {name: bool(think) for name in SWITCHES & known}
    if EFFORT in known and (think or not switches):
        switches[EFFORT] = EFFORTS.get(think, think)
    return switches


def schemas(tools: Sequence[Tool]) -> list[dict[str, Any]]:
    """Tools as templates know them, which is OpenAI's form."""
    return [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
        }
        for tool in tools
    ]


def as_dicts(messages: Sequence[Message], ids: CallIds | None = None) -> list[dict[str, Any]]:
    """Messages as templates know them, each call with an id and each result with its call's."""
    ids = ids or CallIds()
    chat = []
    for message in results_paired(messages):
        one: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.thinking:
            one["reasoning_content"] = message.thinking
        if message.tool_calls:
            one["tool_calls"] = [_call(call, ids) for call in message.tool_calls]
        if message.role == "tool":
            answered = ToolCall(name=message.tool_name, arguments={}, id=message.tool_call_id or NO_CALL)
            one |= {"name": answered.name, "tool_call_id": ids.shown(answered)}
        chat.append(one)
    return chat


def _call(call: ToolCall, ids: CallIds) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": ids.shown(call), "type": "function", "function": function}


def _with_text_arguments(chat: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**message, **_text_calls(message.get("tool_calls"))} for message in chat]


def _text_calls(calls: list[dict[str, Any]] | None) -> dict[str, Any]:
    if not calls:
        return {}
    made = []
    for call in calls:
        arguments = msgspec.json.encode(call["function"]["arguments"]).decode()
        made.append({**call, "function": {**call["function"], "arguments": arguments}})
    return {"tool_calls": made}


def _names(values: list[Any]) -> Iterator[str]:
    """The keys of all objects in ``values``, however deep."""
    while values:
        value = values.pop()
        if isinstance(value, dict):
            yield from map(str, value)
            values.extend(value.values())
        elif isinstance(value, list):
            values.extend(value)
