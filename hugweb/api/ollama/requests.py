"""Ollama's requests: what their JSON may say, checked, and turned into ours.

As in Ollama, null and the empty string mean "not given", unknown fields and options are ignored,
and the request's content type does not matter. Unlike Ollama, a wrong type is a 400.
Source: Ollama's ``api/types.go`` as of v0.33.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, ValidationError

from hugweb.api.body import Body
from hugweb.api.body import parse as body_parse
from hugweb.api.schema import schema_text
from inference.errors import InvalidRequest
from inference.protocol import JSON, MAX_MESSAGES, Message


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
    """``body`` as a ``kind``; null and the empty string are not given."""
    return body_parse(body, kind, absent=(None, ""))


def parse_format(given: Any) -> str:
    """What the answer is to be: ``json``, the text of a JSON Schema, or empty."""
    if given in (None, ""):
        return ""
    if given == JSON:
        return JSON
    if not isinstance(given, dict):
        shown = msgspec.json.encode(given).decode()[:80]
        raise InvalidRequest(f'invalid format: {shown}; expected "json" or a valid JSON Schema object')
    return schema_text(given)


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
