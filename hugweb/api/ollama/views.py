"""Ollama's native API. Each view parses, asks and writes; nothing else.

The views are asynchronous so that a client that leaves cancels its generation: Django cancels the
view's task, which closes the provider's stream, and the engine stops within a token.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Coroutine
from functools import wraps
from typing import Any

import msgspec
from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt

from aliases.selectors import Target, alias_resolve
from hugweb import __version__
from hugweb.api.generation import Answer, begin, fold
from hugweb.api.ollama import listing
from hugweb.api.ollama.capabilities import check_chat, check_generate
from hugweb.api.ollama.durations import keep_alive_seconds
from hugweb.api.ollama.frames import ChatFrames, Frame, FrameWriter, GenerateFrames
from hugweb.api.ollama.requests import (
    ChatBody,
    GenerateBody,
    chat_messages,
    generate_messages,
    parse,
    parse_format,
    parse_options,
)
from hugweb.api.shape import error_response
from inference.errors import InferenceError, InvalidRequest, MethodNotAllowed, ModelNotFound
from inference.protocol import Done, Generate, Load, Request, Text, Unload
from inference.providers.registry import get_provider

# Clients switch features on by the version; this is the Ollama whose API we follow.
OLLAMA_VERSION = "0.33.0"

View = Callable[[HttpRequest], Coroutine[Any, Any, HttpResponseBase]]


def endpoint(*methods: str) -> Callable[[View], View]:
    """A view of the API: open to other programs, for these methods, its errors in Ollama's shape."""

    def decorate(view: View) -> View:
        @csrf_exempt
        @wraps(view)
        async def guarded(request: HttpRequest) -> HttpResponseBase:
            try:
                if request.method not in methods:
                    raise MethodNotAllowed("405 method not allowed")
                return await view(request)
            except InferenceError as error:
                return error_response(request.path, error)

        return guarded

    return decorate


@endpoint("GET", "HEAD")
async def version(request: HttpRequest) -> HttpResponseBase:
    return _json({"version": OLLAMA_VERSION, "hugweb": __version__})


@endpoint("GET", "HEAD")
async def tags(request: HttpRequest) -> HttpResponseBase:
    return _json({"models": await sync_to_async(listing.tags)()})


@endpoint("GET")
async def ps(request: HttpRequest) -> HttpResponseBase:
    models = await get_provider("huggingface").loaded()
    return _json({"models": await sync_to_async(listing.running)(models)})


@endpoint("POST")
async def chat(request: HttpRequest) -> HttpResponseBase:
    body = parse(request.body, ChatBody)
    if not body.model:
        raise InvalidRequest("model is required")
    target = await sync_to_async(alias_resolve)(body.model)
    check_chat(body, target)
    keep_alive = keep_alive_seconds(body.keep_alive)
    options = parse_options(body.options).over(target.options)
    frames = ChatFrames(body.model)
    if not body.messages:
        return await _load_or_unload(target, keep_alive, frames)
    ours = Generate(
        model=target.model,
        messages=chat_messages(body, target.system),
        options=options,
        format=parse_format(body.format),
        keep_alive=keep_alive,
    )
    return await _respond(target, ours, frames, stream=body.stream)


@endpoint("POST")
async def generate(request: HttpRequest) -> HttpResponseBase:
    body = parse(request.body, GenerateBody)
    if not body.model:
        raise ModelNotFound.named("")
    target = await sync_to_async(alias_resolve)(body.model)
    check_generate(body, target)
    keep_alive = keep_alive_seconds(body.keep_alive)
    options = parse_options(body.options).over(target.options)
    frames = GenerateFrames(body.model, raw=body.raw)
    if not body.prompt:
        return await _load_or_unload(target, keep_alive, frames)
    ours = Generate(
        model=target.model,
        messages=() if body.raw else generate_messages(body, target.system),
        prompt=body.prompt if body.raw else None,
        context=tuple(body.context),
        options=options,
        format=parse_format(body.format),
        keep_alive=keep_alive,
    )
    return await _respond(target, ours, frames, stream=body.stream)


async def _load_or_unload(target: Target, keep_alive: float | None, frames: FrameWriter) -> HttpResponse:
    """A request without a prompt loads its model, or with keep_alive 0 unloads it: one object."""
    request: Request = (
        Unload(model=target.model) if keep_alive == 0 else Load(model=target.model, keep_alive=keep_alive)
    )
    folded = await fold(await begin(get_provider(target.provider).stream(request)))
    return _json(frames.done(folded.done))


async def _respond(
    target: Target, request: Generate, frames: FrameWriter, *, stream: bool
) -> HttpResponseBase:
    answer = await begin(get_provider(target.provider).stream(request))
    if not stream:
        folded = await fold(answer)
        return _json(frames.done(folded.done, folded.sample.text))
    return StreamingHttpResponse(
        _lines(answer, frames),
        content_type="application/x-ndjson",
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


async def _lines(answer: Answer, frames: FrameWriter) -> AsyncGenerator[bytes, None]:
    """One frame a line; an error once the response has begun is a line too."""
    try:
        async with contextlib.aclosing(answer):
            async for event in answer:
                if isinstance(event, Done):
                    yield _line(frames.done(event))
                elif isinstance(event, Text):
                    yield _line(frames.text(event.text))
    except InferenceError as error:
        yield _line({"error": error.message})


def _line(frame: Frame) -> bytes:
    return msgspec.json.encode(frame) + b"\n"


def _json(frame: Frame) -> HttpResponse:
    return HttpResponse(msgspec.json.encode(frame), content_type="application/json; charset=utf-8")
