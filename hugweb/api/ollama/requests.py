"""Ollama's requests: what their JSON may say, checked, and turned into ours.

As in Ollama, null and the empty string mean "not given", unknown fields and options are ignored,
and the request's content type does not matter. Unlike Ollama, a wrong type is a 400.
Source: Ollama's ``api/types.go`` as of v0.33.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import Struct, ValidationError

from inference.errors import InvalidRequest
from inference.protocol import JSON, LONGEST_SCHEMA, MAX_MESSAGES, Message, Options

DEEPEST_SCHEMA = 32
Body = TypeVar("Body", bound=Struct)

OPTION_FIELDS = {field.name: field.type for field in msgspec.structs.fields(Options)}
WHOLE_NUMBERS = frozenset({"num_predict", "num_ctx", "top_k", "seed"})
# Go's names of the types, for the texts that clients know.
GO_TYPES = dict.fromkeys(WHOLE_NUMBERS, "integer") | {"stop": "of an array of strings"}


class ChatMessage(Struct):
    """One message. ``thinking`` and tool calls of earlier turns are accepted and not used yet."""

    role: str
    content: str | None = None
    images: list[bytes] | None = None

    def ours(self) -> Message:
        try:
            return msgspec.convert({"role": self.role.lower(), "content": self.content or ""}, Message)
        except ValidationError as error:
            raise InvalidRequest(f"invalid role: {self.role!r}") from error


class GenerationBody(Struct, kw_only=True):
    """What chat and generate share."""

    model: str = ""
    stream: bool = True
    options: dict[str, Any] = {}
    keep_alive: float | str | None = None
    format: Any = None
    think: bool | str | None = None
    logprobs: bool = False


class ChatBody(GenerationBody, kw_only=True):
    """``POST /api/chat``."""

    messages: list[ChatMessage] = []
    tools: list[Any] = []


class GenerateBody(GenerationBody, kw_only=True):
    """``POST /api/generate``."""

    prompt: str = ""
    suffix: str = ""
    system: str = ""
    template: str = ""
    context: list[int] = []
    raw: bool = False
    images: list[bytes] = []


def parse(body: bytes, kind: type[Body]) -> Body:
    """``body`` as a ``kind``; ``InvalidRequest`` says what is wrong and where."""
    if not body.strip():
        raise InvalidRequest("missing request body")
    try:
        fields = msgspec.json.decode(body, type=dict[str, Any])
        given = {name: value for name, value in fields.items() if value is not None and value != ""}
        return msgspec.convert(given, kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"invalid request: {error}") from error


def parse_options(given: dict[str, Any]) -> Options:
    """The options that we know, each checked; null is skipped and what we do not know ignored."""
    known = {
        name: _option(name, value)
        for name, value in given.items()
        if name in OPTION_FIELDS and value is not None
    }
    return Options(**known)


def _option(name: str, value: Any) -> Any:
    if name in WHOLE_NUMBERS and isinstance(value, float):
        value = _truncated(name, value)
    try:
        return msgspec.convert(value, OPTION_FIELDS[name])
    except ValidationError as error:
        if isinstance(value, int | float | list) and not isinstance(value, bool):
            raise InvalidRequest(f'option "{name}" is out of range: {error}') from error
        raise InvalidRequest(f'option "{name}" must be of type {GO_TYPES.get(name, "float32")}') from error


def _truncated(name: str, value: float) -> int:
    try:
        return int(value)
    except (OverflowError, ValueError) as error:
        raise InvalidRequest(f'option "{name}" must be of type integer') from error


def parse_format(given: Any) -> str:
    """What the answer is to be: ``json``, the text of a JSON Schema, or empty."""
    if given in (None, ""):
        return ""
    if given == JSON:
        return JSON
    schema = msgspec.json.encode(given).decode()
    if not isinstance(given, dict):
        raise InvalidRequest(f'invalid format: {schema[:80]}; expected "json" or a valid JSON Schema object')
    if len(schema) > LONGEST_SCHEMA or _depth(given) > DEEPEST_SCHEMA:
        raise InvalidRequest(
            f"The format is too large: at most {LONGEST_SCHEMA} characters, {DEEPEST_SCHEMA} levels deep."
        )
    return schema


def _depth(value: Any) -> int:
    """How deep lists and objects are nested; msgspec has refused what is too deep for this."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inside), default=0)


def chat_messages(body: ChatBody, system: str) -> tuple[Message, ...]:
    """The messages of ``body``, after ``system`` where they do not begin with a system prompt."""
    if len(body.messages) > MAX_MESSAGES:
        raise InvalidRequest(f"{len(body.messages)} messages are too many; at most {MAX_MESSAGES} are taken.")
    messages = tuple(message.ours() for message in body.messages)
    return _with_system(messages, system) if messages[0].role != "system" else messages


def generate_messages(body: GenerateBody, system: str) -> tuple[Message, ...]:
    """``body``'s prompt as a message, after its own system prompt or else ``system``."""
    return _with_system((Message(role="user", content=body.prompt),), body.system or system)


def _with_system(messages: tuple[Message, ...], system: str) -> tuple[Message, ...]:
    return (Message(role="system", content=system), *messages) if system else messages
