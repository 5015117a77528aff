"""Pictures: parse, ask, write."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase

from aliases.answering import events_of
from aliases.target import Target
from hugweb.api.body import parse
from hugweb.api.described import EVENTS, FORM, JSON, Operation
from hugweb.api.endpoint import endpoint
from hugweb.api.generation import begin, fold
from hugweb.api.openai.answers import PictureEvent, Pictures
from hugweb.api.openai.capabilities import resolve
from hugweb.api.openai.forms import read_form
from hugweb.api.openai.images.frames import PictureEvents, pictures
from hugweb.api.openai.images.requests import EditBody, ImageBody
from hugweb.api.responses import EVENT_STREAM, json_response, stream_response
from inference.protocol import Draw


@Operation(
    "Draw pictures",
    takes={JSON: ImageBody},
    needs=("model", "prompt"),
    gives={JSON: Pictures, EVENTS: PictureEvent},
)
@endpoint("POST")
async def generations(request: HttpRequest) -> HttpResponseBase:
    body = parse(request.body, ImageBody)
    body.check_prompt()
    target = await resolve(body.model, "image", "images")
    return await _draw(request, body, target, body.request(target), "image_generation.completed")


@Operation(
    "Draw pictures from pictures",
    takes={FORM: EditBody, JSON: EditBody},
    needs=("model", "prompt", "image images"),
    files=("image[]", "mask"),
    gives={JSON: Pictures, EVENTS: PictureEvent},
)
@endpoint("POST")
async def edits(request: HttpRequest) -> HttpResponseBase:
    body, files = await read_form(request, EditBody)
    body.check_prompt()
    target = await resolve(body.model, "image", "images")
    asked = body.request(target, body.pictures(files), await body.masked(files))
    return await _draw(request, body, target, asked, "image_edit.completed")


@Operation(
    "Draw variations of pictures",
    takes={FORM: EditBody, JSON: EditBody},
    needs=("model", "image images"),
    files=("image[]", "mask"),
    gives={JSON: Pictures, EVENTS: PictureEvent},
)
@endpoint("POST")
async def variations(request: HttpRequest) -> HttpResponseBase:
    body, files = await read_form(request, EditBody)
    target = await resolve(body.model, "image", "images")
    asked = body.request(target, body.pictures(files), await body.masked(files))
    return await _draw(request, body, target, asked, "image_edit.completed")


async def _draw(
    request: HttpRequest, body: ImageBody, target: Target, asked: Draw, kind: str
) -> HttpResponseBase:
    answer = await begin(events_of(target, asked))
    if body.stream:
        return stream_response(request, answer, PictureEvents(kind, body.size), EVENT_STREAM)
    folded = await fold(answer)
    return json_response(pictures(folded, as_url=body.response_format == "url", size=body.size))
