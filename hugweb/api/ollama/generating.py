"""Chat and generate of Ollama's native API. Each view parses, asks and writes; nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import msgspec
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from aliases.answering import events_of
from aliases.lookup import look_up
from aliases.target import Target
from hugweb.api.asking import ask
from hugweb.api.described import JSON, LINES, Operation
from hugweb.api.durations import keep_alive_seconds
from hugweb.api.endpoint import endpoint
from hugweb.api.fields import TOOLS_TO_CHOOSE
from hugweb.api.generation import Content, begin, fold
from hugweb.api.ollama.answers import ChatFrame, GenerateFrame
from hugweb.api.ollama.capabilities import check_chat, check_draw, check_generate
from hugweb.api.ollama.frames import ChatFrames, DrawFrames, Frames, GenerateFrames
from hugweb.api.ollama.requests import (
    FILLED_IN,
    RAW,
    ChatBody,
    GenerateBody,
    GenerationBody,
    chat_request,
    check_raw,
    draw_request,
    generate_request,
    parse,
)
from hugweb.api.ollama.templates import template_given
from hugweb.api.responses import NDJSON, Writer, json_response, stream_response
from inference.errors import ContextOverflow, InvalidRequest, ModelNotFound
from inference.protocol import Draw, Generate, Load, Unload

TOO_LONG = (
    "the prompt is longer than the context length currently available to the model; shorten the prompt, "
    "adjust the context length in settings, or use a model with a longer context length"
)


@Operation(
    "Answer the messages of a chat; without any, load or unload the model",
    takes={JSON: ChatBody},
    needs=("model",),
    rules=(TOOLS_TO_CHOOSE,),
    gives={LINES: ChatFrame, JSON: ChatFrame},
)
@endpoint("POST")
async def chat(request: HttpRequest) -> HttpResponseBase:
    body = parse(request.body, ChatBody)
    if not body.model:
        raise InvalidRequest("model is required")
    target = await look_up(body.model)
    images = sum(len(message.images or ()) for message in body.messages)
    frames = ChatFrames(body.model, images=images)
    is_unload = not body.messages and _unloads(body)
    if not is_unload:
        check_chat(body, target)
    if body.template:
        body.template = await asyncio.to_thread(template_given, body.template, target)
    asked = chat_request(body, target)
    if is_unload:
        return await _unload(target, frames)
    if not body.messages:
        return await _load(body, target, frames)
    return await _respond(request, body, target, asked, frames)


@Operation(
    "Go on from a prompt, or draw it; without one, load or unload the model",
    takes={JSON: GenerateBody},
    needs=("model",),
    rules=(RAW, FILLED_IN),
    gives={LINES: GenerateFrame, JSON: GenerateFrame},
)
@endpoint("POST")
async def generate(request: HttpRequest) -> HttpResponseBase:
    body = parse(request.body, GenerateBody)
    if not body.model:
        raise ModelNotFound.named("")
    target = await look_up(body.model)
    frames = GenerateFrames(body.model, images=len(body.images), raw=body.raw)
    is_unload = not body.prompt and _unloads(body)
    if "image" in target.capabilities:
        return await _draw(request, body, target, is_unload=is_unload)
    if not is_unload:
        check_generate(body, target)
    check_raw(body)
    if body.template:
        body.template = await asyncio.to_thread(template_given, body.template, target)
    asked = generate_request(body, target)
    if is_unload:
        return await _unload(target, frames)
    if not body.prompt:
        return await _load(body, target, frames)
    return await _respond(request, body, target, asked, frames)


async def _draw(
    request: HttpRequest, body: GenerateBody, target: Target, *, is_unload: bool
) -> HttpResponseBase:
    if not is_unload:
        check_draw(body, target)
    frames, asked = DrawFrames(body.model), draw_request(body, target)
    if is_unload:
        return await _unload(target, frames)
    if not body.prompt:
        return await _load(body, target, frames)
    return await _respond(request, body, target, asked, frames)


def _unloads(body: GenerationBody) -> bool:
    """Whether a request without a prompt is one to unload its model, of whatever kind that is: what it says
    has to be right, but need not be what the model can do."""
    return keep_alive_seconds(body.keep_alive) == 0


async def _unload(target: Target, frames: Frames) -> HttpResponse:
    return json_response(frames.whole(await ask(target, Unload(model=target.model))))


async def _load(body: GenerationBody, target: Target, frames: Frames) -> HttpResponse:
    """A request without a prompt loads its model: one object."""
    given = keep_alive_seconds(body.keep_alive)
    keep_alive = target.keep_alive if given is None else given
    return json_response(frames.whole(await ask(target, Load(model=target.model, keep_alive=keep_alive))))


async def _respond(
    request: HttpRequest, body: GenerationBody, target: Target, ours: Generate | Draw, frames: Frames
) -> HttpResponseBase:
    is_streamed = body.stream and not body.debug
    try:
        answer = await begin(events_of(target, ours), progress=is_streamed and body.progress)
    except ContextOverflow as error:
        raise ContextOverflow(TOO_LONG) from error
    if is_streamed:
        return stream_response(request, answer, _lines(frames), NDJSON)
    return json_response(frames.whole(await fold(answer)))


def _lines(frames: Frames) -> Writer[Content]:
    """Writes one frame a line."""

    def write(event: Content) -> Iterator[bytes]:
        for frame in frames.write(event):
            yield msgspec.json.encode(frame) + b"\n"

    return write
