"""Anthropic's answers: one message, or the events of a stream in their order.

    message_start, ping, then for each block content_block_start, content_block_delta …,
    content_block_stop, then message_delta, message_stop

``input_tokens`` are those that were read now, beside ``cache_read_input_tokens``. How many there are
is known at the end, so a stream says it in message_delta, where the clients look for it too.
Source: Anthropic's reference of the Messages API and of its streams.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from hugweb.api.generation import Content, Folded
from inference.protocol import Called, Done, Text, Thought, ToolCall, Usage

Frame = dict[str, Any]
# Thoughts are signed at Anthropic's; here nobody checks, but clients expect the field.
SIGNATURE = "unsigned"


class MessageFrames:
    """Writes one answer. ``model`` is the name exactly as it was asked for; with ``hides_thoughts``, blocks
    of thoughts are empty."""

    def __init__(self, model: str, max_tokens: int, *, hides_thoughts: bool = False) -> None:
        self._model = model
        self._hides_thoughts = hides_thoughts
        self._max_tokens = max_tokens
        self._id = f"msg_{secrets.token_hex(12)}"
        self._started = False
        self._called = False
        self._index = -1
        self._open: Literal["text", "thinking"] | None = None

    def whole(self, folded: Folded) -> Frame:
        """The message, all of it."""
        sample = folded.sample
        content: list[Frame] = []
        if sample.thinking:
            thinking = self._shown(sample.thinking)
            content.append({"type": "thinking", "thinking": thinking, "signature": SIGNATURE})
        if sample.text and self._max_tokens:
            content.append({"type": "text", "text": sample.text})
        content += [_call(call) | {"input": call.arguments} for call in sample.calls]
        self._called = bool(sample.calls)
        return self._message(content, folded.done.usage) | self._ending(folded.done)

    def write(self, event: Content) -> Iterator[bytes]:
        """The events of a stream that ``event`` becomes."""
        if not self._started:
            self._started = True
            yield _event("message_start", message=self._message([], Usage()))
            yield _event("ping")
        match event:
            # Without tokens for an answer, it is the prompt that comes back.
            case Text(text=text) if text and self._max_tokens:
                yield from self._piece("text", text)
            case Thought(text=text) if text:
                yield from self._piece("thinking", self._shown(text))
            case Called(call=call):
                yield from self._call(call)
            case Done() as done:
                yield from self._close()
                yield _event("message_delta", delta=self._ending(done), usage=_usage(done.usage))
                yield _event("message_stop")

    def _message(self, content: list[Frame], usage: Usage) -> Frame:
        return {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": content,
            "stop_reason": None,
            "stop_sequence": None,
            "usage": _usage(usage),
        }

    def _ending(self, done: Done) -> Frame:
        return {"stop_reason": self._reason(done), "stop_sequence": done.stop_string or None}

    def _reason(self, done: Done) -> str:
        if done.reason == "length":
            full = done.usage.completion < self._max_tokens
            return "model_context_window_exceeded" if full else "max_tokens"
        if self._called:
            return "tool_use"
        return "stop_sequence" if done.stop_string else "end_turn"

    def _shown(self, thought: str) -> str:
        return "" if self._hides_thoughts else thought

    def _piece(self, kind: Literal["text", "thinking"], text: str) -> Iterator[bytes]:
        """``text``, in the block that is open if it is one of its kind."""
        if self._open != kind:
            yield from self._close()
            more = {"signature": ""} if kind == "thinking" else {}
            yield self._start({"type": kind, kind: "", **more})
            self._open = kind
        if text:
            yield self._delta({"type": f"{kind}_delta", kind: text})

    def _call(self, call: ToolCall) -> Iterator[bytes]:
        """A block of its own, its arguments in one piece."""
        yield from self._close()
        self._called = True
        yield self._start(_call(call) | {"input": {}})
        arguments = msgspec.json.encode(call.arguments).decode()
        yield self._delta({"type": "input_json_delta", "partial_json": arguments})
        yield _event("content_block_stop", index=self._index)

    def _start(self, block: Frame) -> bytes:
        self._index += 1
        return _event("content_block_start", index=self._index, content_block=block)

    def _delta(self, delta: Frame) -> bytes:
        return _event("content_block_delta", index=self._index, delta=delta)

    def _close(self) -> Iterator[bytes]:
        if self._open == "thinking":
            yield self._delta({"type": "signature_delta", "signature": SIGNATURE})
        if self._open:
            yield _event("content_block_stop", index=self._index)
        self._open = None


def _call(call: ToolCall) -> Frame:
    return {"type": "tool_use", "id": call.id or f"toolu_{secrets.token_hex(12)}", "name": call.name}


def _usage(usage: Usage) -> Frame:
    return {
        "input_tokens": usage.prompt - usage.cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.completion,
    }


def _event(kind: str, **content: Any) -> bytes:
    """A server-sent event, whose name is in its data too."""
    return f"event: {kind}\ndata: ".encode() + msgspec.json.encode({"type": kind, **content}) + b"\n\n"
