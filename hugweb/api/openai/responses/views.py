"""Responses: parse, go on from what is kept, ask, write, keep."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Annotated, Literal

import msgspec
from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponseBase
from msgspec import Meta, Struct
from msgspec.structs import replace

from aliases.answering import events_of
from aliases.target import Target
from hugweb.api.asking import ask
from hugweb.api.body import parse, struct_of
from hugweb.api.described import EVENTS, JSON, Operation
from hugweb.api.documents import reading
from hugweb.api.endpoint import endpoint
from hugweb.api.fields import TOOLS_TO_CHOOSE, told
from hugweb.api.generation import Answer, begin
from hugweb.api.openai.capabilities import resolve
from hugweb.api.openai.frames import Frame
from hugweb.api.openai.parts import count_files
from hugweb.api.openai.responses import answers
from hugweb.api.openai.responses.events import ENDS, ResponseEvents, encoded
from hugweb.api.openai.responses.references import referred, resolved
from hugweb.api.openai.responses.requests import INPUT_OR_PREVIOUS, DescribedBody, ResponseBody
from hugweb.api.openai.responses.response import new_response
from hugweb.api.openai.stored.ids import new_response_id
from hugweb.api.openai.stored.selectors import items_get, response_get, response_history
from hugweb.api.openai.stored.services import response_delete, response_store
from hugweb.api.responses import EVENT_STREAM, json_response, stream_response
from inference.asker import asker
from inference.errors import NO_DATABASE, Busy, EngineDied, Unsupported
from inference.protocol import Done, Generate, Rendered

logger = logging.getLogger(__name__)

MAX_LISTED = 100


class ItemsQuery(Struct, kw_only=True):
    """Which of the items: ``after`` is an id."""

    order: Literal["asc", "desc"] = "desc"
    after: str = ""
    limit: Annotated[int, Meta(ge=1, le=MAX_LISTED)] = 20


class ResponseQuery(Struct, kw_only=True):
    """How a response is read."""

    stream: Annotated[bool, told(enum=[False])] = False


Keep = Callable[[Frame], Awaitable[None]]


@Operation(
    "Answer a text or items, in one piece or as events, and keep the answer",
    takes={JSON: DescribedBody},
    needs=("model",),
    rules=(INPUT_OR_PREVIOUS, TOOLS_TO_CHOOSE),
    gives={JSON: answers.Response, EVENTS: answers.ResponseEvent},
)
@endpoint("POST")
async def responses(request: HttpRequest) -> HttpResponseBase:
    body = parse(request.body, ResponseBody)
    target = await resolve(body.model, "completion", "responses")
    thread, history = await _history(body)
    id = new_response_id()
    items = await _items(body, id, history)
    asked = await _request(body, target, items, history)
    answer = await begin(events_of(target, asked))
    events = ResponseEvents(new_response(id, body, asked), request.path, body.namespaces())
    frames = _written(answer, events, _keeper(body, thread, items))
    if not body.stream:
        return json_response(await _whole(frames))
    return stream_response(
        request,
        frames,
        lambda frame: [encoded(frame)],
        EVENT_STREAM,
        lambda error: map(encoded, events.failed(error)),
    )


@Operation(
    "How many tokens a response would read",
    takes={JSON: DescribedBody},
    needs=("model",),
    rules=(INPUT_OR_PREVIOUS, TOOLS_TO_CHOOSE),
    gives={JSON: answers.InputTokens},
)
@endpoint("POST")
async def input_tokens(request: HttpRequest) -> HttpResponseBase:
    """How many tokens a response would read. The model is loaded for its tokenizer, and generates nothing."""
    body = parse(request.body, ResponseBody)
    target = await resolve(body.model, "completion", "responses")
    _, history = await _history(body)
    items = await _items(body, new_response_id(), history)
    asked = await _request(body, target, items, history)
    rendered = (await ask(target, replace(asked, render_only=True))).result(Rendered)
    return json_response({"object": "response.input_tokens", "input_tokens": rendered.tokens})


@Operation(
    "A response that was kept",
    methods=("GET", "HEAD"),
    parameters=ResponseQuery,
    gives={JSON: answers.Response},
)
@Operation("Forget a response", methods=("DELETE",), gives={JSON: answers.DeletedResponse})
@endpoint("GET", "HEAD", "DELETE")
async def response(request: HttpRequest, id: str) -> HttpResponseBase:
    if request.method == "DELETE":
        await sync_to_async(response_delete)(owner=_owner(), id=id)
        return json_response({"id": id, "object": "response", "deleted": True})
    if struct_of(request.GET.dict(), ResponseQuery, strict=False).stream:
        raise Unsupported("A response that was kept is whole: it cannot be streamed.", param="stream")
    stored = await sync_to_async(response_get)(owner=_owner(), id=id)
    return json_response(msgspec.Raw(stored.response.encode()))


@Operation("Refused: no response is made in the background", statuses=())
@endpoint("POST")
async def cancel(request: HttpRequest, id: str) -> HttpResponseBase:
    await sync_to_async(response_get)(owner=_owner(), id=id)
    raise Unsupported(
        "Only a response in the background could be cancelled. To end one that is being made, close the"
        " connection."
    )


@Operation("Refused: nothing is compacted", statuses=())
@endpoint("POST")
async def compact(request: HttpRequest) -> HttpResponseBase:
    raise Unsupported("Nothing is compacted here. With truncation auto, what is oldest is left out.")


@Operation("What a response was asked with", parameters=ItemsQuery, gives={JSON: answers.InputItems})
@endpoint("GET", "HEAD")
async def input_items(request: HttpRequest, id: str) -> HttpResponseBase:
    """What a response was asked with, the last first unless ``order`` says ``asc``."""
    query = struct_of(request.GET.dict(), ItemsQuery, strict=False)
    stored = await sync_to_async(response_get)(owner=_owner(), id=id)
    found = stored.item_list if query.order == "asc" else stored.item_list[::-1]
    ids = [item["id"] for item in found]
    start = ids.index(query.after) + 1 if query.after in ids else 0
    page = found[start : start + query.limit]
    return json_response(
        {
            "object": "list",
            "data": page,
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
            "has_more": start + len(page) < len(found),
        }
    )


def _owner() -> int | None:
    """Whose responses these are: the key's user's, or of whoever is at this machine."""
    return asker().user


async def _history(body: ResponseBody) -> tuple[str, list[Frame]]:
    """The thread that ``body`` goes on, and what was said in it; nothing where it begins one."""
    if not body.previous_response_id:
        return "", []
    return await database_sync_to_async(response_history)(owner=_owner(), previous=body.previous_response_id)


async def _items(body: ResponseBody, response: str, history: list[Frame]) -> list[Frame]:
    """What was said in ``body``, whole, as items of ``response``."""
    items = body.items(response)
    named = referred(items, history)
    found = await database_sync_to_async(items_get)(owner=_owner(), ids=named) if named else {}
    return list(resolved(items, history, found))


async def _request(body: ResponseBody, target: Target, items: list[Frame], history: list[Frame]) -> Generate:
    said = (item.get(name) for item in (*history, *items) for name in ("content", "output"))
    return await reading(sum(map(count_files, said)), body.request, target, items, history)


def _keeper(body: ResponseBody, thread: str, items: list[Frame]) -> Keep:
    """What keeps the response to ``body``; one that cannot be gone on from, though it should, has failed."""
    owner = _owner()

    async def keep(response: Frame) -> None:
        if not body.store:
            return
        try:
            await sync_to_async(response_store)(owner=owner, thread=thread, items=items, response=response)
        except DatabaseError as error:
            logger.exception("A response could not be kept.")
            raise Busy(NO_DATABASE) from error

    return keep


async def _written(answer: Answer, events: ResponseEvents, keep: Keep) -> AsyncGenerator[Frame, None]:
    """The frames of ``answer``; the response is kept before a client hears of its end."""
    async with contextlib.aclosing(answer):
        async for event in answer:
            frames = list(events.of(event))
            if isinstance(event, Done):
                await keep(frames[-1]["response"])
            for frame in frames:
                yield frame


async def _whole(frames: AsyncGenerator[Frame, None]) -> Frame:
    """The response that the last of ``frames`` carries."""
    async with contextlib.aclosing(frames):
        async for frame in frames:
            if frame["type"] in ENDS:
                return frame["response"]
    raise EngineDied
