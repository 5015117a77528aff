"""``/stream-message``: one message of a conversation and its answer, as server-sent events.

Whoever provides the model, the events are the same. Both are stored as those of the chat page are,
so a page that is open shows them too; but the answer ends when its client leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator
from typing import Annotated, Any, NotRequired, TypedDict
from uuid import UUID

import msgspec
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponseBase
from msgspec import Meta, Struct

from aliases.lookup import look_up
from conversations.answer import ENDED, Phase
from conversations.attachments import MOST_PICTURES
from conversations.selectors import conversation_get, model_choices, model_preferred
from conversations.turn import Turn
from conversations.turns import TURNS
from conversations.wire import LONGEST_TEXT
from hugweb.api.body import parse
from hugweb.api.described import EVENTS, JSON, Operation
from hugweb.api.endpoint import endpoint
from hugweb.api.fields import NOT_BLANK
from hugweb.api.generation import resumed
from hugweb.api.responses import EVENT_STREAM, stream_response
from hugweb.api.rest.access import entered, user_of
from inference.errors import InvalidRequest
from inference.models import ModelRecord
from inference.protocol import Options
from inference.store.names import LONGEST_NAME

Event = tuple[str, dict[str, Any]]


class MessageBody(Struct, kw_only=True):
    """``POST /stream-message``: what to say, and where; without a conversation in a new one.

    Without a model it is the conversation's, or the one that was asked last. ``attachments`` are ids of
    uploaded pictures, which may stand alone.
    """

    message: Annotated[str, Meta(max_length=LONGEST_TEXT)] = ""
    attachments: Annotated[tuple[UUID, ...], Meta(max_length=MOST_PICTURES)] = ()
    model: Annotated[str, Meta(max_length=LONGEST_NAME)] = ""
    conversation: UUID | None = None
    options: Options = Options()


class Started(TypedDict):
    conversation: UUID
    message: UUID
    provider: str
    model: str
    note: str


class Told(TypedDict):
    phase: str
    position: NotRequired[int]
    done: NotRequired[int]
    total: NotRequired[int]


class Said(TypedDict):
    """The data of ``thinking`` and of ``message``."""

    content: str


class Capabilities(TypedDict):
    supportsVision: bool
    supportsStreaming: bool
    maxContextLength: int | None


class Metadata(TypedDict):
    tokenCount: int
    promptTokenCount: int
    processingTime: float
    thinkingTime: float
    finishReason: str
    modelProvider: str
    capabilities: Capabilities


class Ended(Started):
    status: str
    metadata: Metadata


# What to say, or something to show.
SOMETHING = {
    "anyOf": [
        {"required": ["message"], "properties": {"message": {"type": "string", "pattern": NOT_BLANK}}},
        {"required": ["attachments"], "properties": {"attachments": {"type": "array", "minItems": 1}}},
    ]
}


@Operation(
    "Say something in a conversation, and follow the answer",
    takes={JSON: MessageBody},
    rules=(SOMETHING,),
    owned=True,
    gives={EVENTS: (Started, Told, Said, Ended)},
)
@entered
@endpoint("POST")
async def stream_message(request: HttpRequest) -> HttpResponseBase:
    user, body = user_of(request), parse(request.body, MessageBody)
    model = body.model or await sync_to_async(_model_of)(user, body.conversation)
    record = (await look_up(model)).record
    turn = await _started(user, body, model)
    events = _events(turn, record)
    # From here on the turn is stopped however this ends.
    started = await anext(events)
    return stream_response(request, resumed(started, events), _frame, EVENT_STREAM)


def _model_of(user: User, conversation: UUID | None) -> str:
    if conversation:
        return conversation_get(user=user, conversation_id=conversation).model
    if preferred := model_preferred(user=user, choices=model_choices(user=user)):
        return preferred
    raise InvalidRequest("model is required", param="model")


async def _started(user: User, body: MessageBody, model: str) -> Turn:
    """The turn, which is stopped if its client leaves while it starts."""
    starting = asyncio.ensure_future(
        TURNS.start(
            user=user,
            conversation=body.conversation,
            text=body.message,
            model=model,
            options=body.options,
            attachments=body.attachments,
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        starting.add_done_callback(_stop_started)
        raise


def _stop_started(starting: asyncio.Future[Turn]) -> None:
    if not starting.cancelled() and not starting.exception():
        starting.result().stop()


async def _events(turn: Turn, record: ModelRecord) -> AsyncGenerator[Event, None]:
    """What happens to the answer, up to its end; an error is raised."""
    with contextlib.ExitStack() as leaving:
        leaving.callback(turn.stop)
        yield "started", _started_data(turn)
        version, sent, thought, phase, ended = 0, 0, 0, turn.live.phase, False
        while not ended:
            await turn.live.changed(since=version)
            # Read before the text: an answer that ends while this waits is still sent to its end.
            version, ended = turn.live.version, turn.live.ended
            if turn.live.phase not in (phase, ENDED):
                phase = turn.live.phase
                yield "progress", _progress(phase)
            if content := turn.thinking[thought:]:
                thought += len(content)
                yield "thinking", {"content": content}
            if content := turn.text[sent:]:
                sent += len(content)
                yield "message", {"content": content}
    if turn.ending.error:
        raise turn.ending.error
    yield "done", _done_data(turn, record)


def _frame(event: Event) -> Iterator[bytes]:
    name, data = event
    yield b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode(data) + b"\n\n"


def _started_data(turn: Turn) -> dict[str, Any]:
    opened = turn.opened
    return {
        "conversation": opened.conversation.pk,
        "message": opened.answer.pk,
        "provider": opened.answer.model_provider,
        "model": opened.answer.model,
        "note": opened.answer.note,
    }


def _progress(phase: Phase) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(phase)
    return {"phase": told.pop("name"), **told}


def _done_data(turn: Turn, record: ModelRecord) -> dict[str, Any]:
    message = turn.message
    return {
        **_started_data(turn),
        "status": message.status,
        "metadata": {
            "tokenCount": message.completion_tokens,
            "promptTokenCount": message.prompt_tokens,
            "processingTime": message.total_ns / 1e6,
            "thinkingTime": message.thinking_ns / 1e6,
            "finishReason": message.finish_reason,
            "modelProvider": message.model_provider,
            "capabilities": {
                "supportsVision": "vision" in record.capabilities,
                "supportsStreaming": True,
                "maxContextLength": record.context_length or None,
            },
        },
    }
