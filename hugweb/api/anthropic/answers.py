"""What Anthropic's API answers, for its description: the frames of ``frames.py``."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict


class FailureReason(TypedDict):
    error_code: str
    unsupported: list[str]


class FailureDetail(TypedDict):
    type: str
    message: str
    details: NotRequired[FailureReason]


class Failure(TypedDict):
    type: Literal["error"]
    error: FailureDetail
    request_id: str


class Usage(TypedDict):
    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int


class AnsweredBlock(TypedDict):
    type: Literal["text", "thinking", "tool_use"]
    text: NotRequired[str]
    thinking: NotRequired[str]
    signature: NotRequired[str]
    id: NotRequired[str]
    name: NotRequired[str]
    input: NotRequired[dict[str, Any]]


class Ending(TypedDict):
    stop_reason: (
        Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "model_context_window_exceeded"] | None
    )
    stop_sequence: str | None


class AnsweredMessage(Ending):
    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[AnsweredBlock]
    usage: Usage


class Delta(TypedDict):
    type: NotRequired[Literal["text_delta", "thinking_delta", "signature_delta", "input_json_delta"]]
    text: NotRequired[str]
    thinking: NotRequired[str]
    signature: NotRequired[str]
    partial_json: NotRequired[str]
    stop_reason: NotRequired[str]
    stop_sequence: NotRequired[str | None]


class StreamEvent(TypedDict):
    type: Literal[
        "message_start",
        "ping",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "error",
    ]
    message: NotRequired[AnsweredMessage]
    index: NotRequired[int]
    content_block: NotRequired[AnsweredBlock]
    delta: NotRequired[Delta]
    usage: NotRequired[Usage]
    error: NotRequired[FailureDetail]
    request_id: NotRequired[str]


class TokenCount(TypedDict):
    input_tokens: int
