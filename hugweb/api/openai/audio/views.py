"""Transcriptions, by models that hear and write; nothing here speaks.

A model of that kind is asked in words for what was said, since that is what it was made to answer.
"""

from __future__ import annotations

from typing import Annotated

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from msgspec import Meta, Struct

from aliases.selectors import Target
from hugweb.api.asking import ask
from hugweb.api.described import FORM, JSON, TEXT, Operation
from hugweb.api.endpoint import endpoint
from hugweb.api.fields import told
from hugweb.api.media import is_sound
from hugweb.api.openai.answers import Transcription
from hugweb.api.openai.capabilities import resolve
from hugweb.api.openai.forms import Files, read_form
from hugweb.api.responses import json_response
from inference.errors import InvalidRequest, Unsupported
from inference.protocol import Generate, Message, Options

LARGEST_FILE = 25 * 2**20


class TranscriptionBody(Struct, kw_only=True):
    """The fields beside ``file``. ``prompt`` tells the model what the sound is about."""

    model: str = ""
    language: str = ""
    prompt: str = ""
    response_format: Annotated[str, told(enum=["json", "text"])] = "json"
    temperature: Annotated[float, Meta(ge=0, le=2)] = 0.0
    stream: Annotated[bool, told(enum=[False])] = False


@Operation(
    "Write down what is said",
    takes={FORM: TranscriptionBody},
    needs=("model", "file"),
    files=("file",),
    gives={JSON: Transcription, TEXT: str},
)
@endpoint("POST")
async def transcriptions(request: HttpRequest) -> HttpResponseBase:
    body, files = await read_form(request, TranscriptionBody)
    target = await resolve(body.model, "audio", "transcription")
    asked = _request(target, body, _sound(files), "Write down what is said, word for word, and nothing else.")
    return await _respond(target, asked, body)


@Operation(
    "Write down in English what is said",
    takes={FORM: TranscriptionBody},
    needs=("model", "file"),
    files=("file",),
    gives={JSON: Transcription, TEXT: str},
)
@endpoint("POST")
async def translations(request: HttpRequest) -> HttpResponseBase:
    body, files = await read_form(request, TranscriptionBody)
    target = await resolve(body.model, "audio", "translation")
    asked = _request(
        target, body, _sound(files), "Translate what is said into English, and say nothing else."
    )
    return await _respond(target, asked, body)


@Operation("Refused: no model here can speak", statuses=())
@endpoint("POST")
async def speech(request: HttpRequest) -> HttpResponseBase:
    raise Unsupported("No model here can speak. Answers are text only.")


async def _respond(target: Target, asked: Generate, body: TranscriptionBody) -> HttpResponse:
    if body.stream:
        raise Unsupported("Transcriptions are not streamed.", param="stream")
    if body.response_format not in {"json", "text"}:
        raise Unsupported("response_format is json or text.", param="response_format")
    text = (await ask(target, asked)).sample.text.strip()
    if body.response_format == "text":
        return HttpResponse(text + "\n", content_type="text/plain; charset=utf-8")
    return json_response({"text": text})


def _request(target: Target, body: TranscriptionBody, sound: bytes, wanted: str) -> Generate:
    said = [wanted]
    if body.language:
        said.append(f"The language is {body.language}.")
    if body.prompt:
        said.append(body.prompt)
    return Generate(
        model=target.model,
        messages=(Message(role="user", content=" ".join(said), audios=(sound,)),),
        options=Options(temperature=body.temperature).over(target.options),
        template=target.template,
        keep_alive=target.keep_alive,
        truncate=False,
    )


def _sound(files: Files) -> bytes:
    sound = (files.get("file") or [b""])[0]
    if not sound:
        raise InvalidRequest("file is required", param="file")
    if not is_sound(sound):
        raise InvalidRequest("Sounds must be WAV, MP3, FLAC or Ogg files.", param="file")
    if len(sound) > LARGEST_FILE:
        raise InvalidRequest(f"At most {LARGEST_FILE >> 20} MB of sound are taken.", param="file")
    return sound
