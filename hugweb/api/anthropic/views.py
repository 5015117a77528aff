"""Anthropic's Messages API. Each view parses, asks and writes; nothing else."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase
from msgspec.structs import replace

from aliases.answering import events_of
from aliases.lookup import look_up
from aliases.target import Target
from hugweb.api.anthropic.answers import AnsweredMessage, StreamEvent, TokenCount
from hugweb.api.anthropic.blocks import count_documents
from hugweb.api.anthropic.frames import MessageFrames
from hugweb.api.anthropic.requests import TOOLS_TO_CHOOSE, MessagesBody, messages_request
from hugweb.api.body import parse
from hugweb.api.described import EVENTS, JSON, Operation
from hugweb.api.documents import reading
from hugweb.api.endpoint import endpoint
from hugweb.api.generation import begin, fold
from hugweb.api.responses import EVENT_STREAM, json_response, stream_response
from inference.errors import InvalidRequest, Unsupported
from inference.protocol import Generate, Rendered


@Operation(
    "Answer messages",
    takes={JSON: MessagesBody},
    needs=("model", "messages", "max_tokens"),
    rules=(TOOLS_TO_CHOOSE,),
    gives={JSON: AnsweredMessage, EVENTS: StreamEvent},
)
@endpoint("POST")
async def messages(request: HttpRequest) -> HttpResponseBase:
    body = parse(request.body, MessagesBody)
    if body.model and body.max_tokens is None:
        raise InvalidRequest("max_tokens is required and must be positive")
    target, ours = await _asked(body)
    answer = await begin(events_of(target, ours))
    frames = MessageFrames(body.model, body.max_tokens or 0, hides_thoughts=body.hides_thoughts)
    if body.stream:
        return stream_response(request, answer, frames.write, EVENT_STREAM)
    return json_response(frames.whole(await fold(answer)))


@Operation(
    "How long the prompt would be",
    takes={JSON: MessagesBody},
    needs=("model", "messages"),
    rules=(TOOLS_TO_CHOOSE,),
    gives={JSON: TokenCount},
)
@endpoint("POST")
async def count_tokens(request: HttpRequest) -> HttpResponseBase:
    """How long the prompt would be; the model is loaded for its tokenizer, and generates nothing."""
    target, ours = await _asked(parse(request.body, MessagesBody))
    events = events_of(target, replace(ours, render_only=True))
    folded = await fold(await begin(events))
    return json_response({"input_tokens": folded.result(Rendered).tokens})


async def _asked(body: MessagesBody) -> tuple[Target, Generate]:
    """What ``body`` asks, and of which model, which can do that. Nothing is loaded for it."""
    if not body.model:
        raise InvalidRequest("model is required")
    target = await look_up(body.model)
    _require(target, "completion", "messages")
    ours = await reading(count_documents(body.messages), messages_request, body, target)
    if ours.tools:
        _require(target, "tools", "tools")
    if not target.takes_pictures and any(message.images for message in ours.messages):
        _require(target, "vision", "images")
    return target, ours


def _require(target: Target, capability: str, words: str) -> None:
    if capability not in target.capabilities:
        raise Unsupported(f'"{target.model.name}" does not support {words}')
