"""Ollama's native API. Each view parses, asks and writes; nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from aliases.selectors import Target, alias_resolve
from hugweb import __version__
from hugweb.api.durations import keep_alive_seconds
from hugweb.api.endpoint import endpoint
from hugweb.api.generation import Content, begin, fold
from hugweb.api.ollama import listing
from hugweb.api.ollama.capabilities import check_chat, check_generate
from hugweb.api.ollama.frames import ChatFrames, FrameWriter, GenerateFrames
from hugweb.api.ollama.requests import (
    ChatBody,
    GenerateBody,
    chat_messages,
    generate_messages,
    parse,
    parse_format,
)
from hugweb.api.options import parse_options
from hugweb.api.responses import NDJSON, Writer, json_response, stream_response
from inference.errors import InvalidRequest, ModelNotFound
from inference.protocol import Done, Generate, Load, Request, Text, Unload
from inference.providers.registry import get_provider

# Clients switch features on by the version; this is the Ollama whose API we follow.
OLLAMA_VERSION = "0.33.0"


@endpoint("GET", "HEAD")
async def version(request: HttpRequest) -> HttpResponseBase:
    return json_response({"version": OLLAMA_VERSION, "hugweb": __version__})


@endpoint("GET", "HEAD")
async def tags(request: HttpRequest) -> HttpResponseBase:
    return json_response({"models": await sync_to_async(listing.tags)()})


@endpoint("GET")
async def ps(request: HttpRequest) -> HttpResponseBase:
    models = await get_provider("huggingface").loaded()
    return json_response({"models": await sync_to_async(listing.running)(models)})


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
    return await _respond(request, target, ours, frames, stream=body.stream)


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
    return await _respond(request, target, ours, frames, stream=body.stream)


async def _load_or_unload(target: Target, keep_alive: float | None, frames: FrameWriter) -> HttpResponse:
    """A request without a prompt loads its model, or with keep_alive 0 unloads it: one object."""
    request: Request = (
        Unload(model=target.model) if keep_alive == 0 else Load(model=target.model, keep_alive=keep_alive)
    )
    folded = await fold(await begin(get_provider(target.provider).stream(request)))
    return json_response(frames.done(folded.done))


async def _respond(
    request: HttpRequest, target: Target, ours: Generate, frames: FrameWriter, *, stream: bool
) -> HttpResponseBase:
    answer = await begin(get_provider(target.provider).stream(ours))
    if stream:
        return stream_response(request, answer, _lines(frames), NDJSON)
    folded = await fold(answer)
    return json_response(frames.done(folded.done, folded.sample.text))


def _lines(frames: FrameWriter) -> Writer[Content]:
    """Writes one frame a line."""

    def write(event: Content) -> Iterator[bytes]:
        if isinstance(event, Done):
            yield msgspec.json.encode(frames.done(event)) + b"\n"
        elif isinstance(event, Text):
            yield msgspec.json.encode(frames.text(event.text)) + b"\n"

    return write
