"""Transcriptions and translations, by speech models and by models that hear and write; nothing here speaks.

A speech model (Whisper) tells when what was said. A chat model that hears is asked in words for what
was said, since that is what it was made to answer; it knows no times.
"""

from __future__ import annotations

from typing import Annotated, Literal

from django.http import HttpRequest, HttpResponseBase
from msgspec import Meta, Struct

from aliases.answering import events_of
from aliases.target import Target
from hugweb.api import asking
from hugweb.api.asking import ask
from hugweb.api.described import EVENTS, FORM, JSON, TEXT, Operation
from hugweb.api.endpoint import endpoint
from hugweb.api.fields import told
from hugweb.api.generation import begin
from hugweb.api.media import is_sound
from hugweb.api.openai.answers import HeardEvent, Transcription
from hugweb.api.openai.audio.formats import FORMS, heard_respond, plain
from hugweb.api.openai.audio.frames import HeardEvents
from hugweb.api.openai.capabilities import require
from hugweb.api.openai.forms import Files, read_form
from hugweb.api.responses import EVENT_STREAM, json_response, stream_response
from inference.errors import InvalidRequest, Unsupported
from inference.protocol import LONGEST_HINT, Generate, Heard, Message, Options, Transcribe

LARGEST_FILE = 25 * 2**20
SPEECH = "transcription"
UNTIMED = ("json", "text")

Task = Literal["transcribe", "translate"]
WORDS: dict[Task, str] = {
    "transcribe": "Write down what is said, word for word, and nothing else.",
    "translate": "Translate what is said into English, and say nothing else.",
}


class TranscriptionBody(Struct, kw_only=True):
    """The fields beside ``file``. ``prompt`` tells the model what the sound is about."""

    model: str = ""
    language: Annotated[str, Meta(max_length=64)] = ""
    prompt: Annotated[str, Meta(max_length=LONGEST_HINT)] = ""
    response_format: Annotated[str, told(enum=list(FORMS))] = "json"
    temperature: Annotated[float, Meta(ge=0, le=2)] = 0.0
    timestamp_granularities: list[Annotated[str, told(enum=["segment"])]] = []
    stream: bool = False


@Operation(
    "Write down what is said",
    takes={FORM: TranscriptionBody},
    needs=("model", "file"),
    files=("file",),
    gives={JSON: Transcription, TEXT: str, EVENTS: HeardEvent},
)
@endpoint("POST")
async def transcriptions(request: HttpRequest) -> HttpResponseBase:
    return await _answer(request, "transcribe", "transcription")


@Operation(
    "Write down in English what is said",
    takes={FORM: TranscriptionBody},
    needs=("model", "file"),
    files=("file",),
    gives={JSON: Transcription, TEXT: str, EVENTS: HeardEvent},
)
@endpoint("POST")
async def translations(request: HttpRequest) -> HttpResponseBase:
    return await _answer(request, "translate", "translation")


@Operation("Refused: no model here can speak", statuses=())
@endpoint("POST")
async def speech(request: HttpRequest) -> HttpResponseBase:
    raise Unsupported("No model here can speak. Answers are text only.")


async def _answer(request: HttpRequest, task: Task, doing: str) -> HttpResponseBase:
    body, files = await read_form(request, TranscriptionBody)
    target = await asking.resolve(body.model)
    speaks = SPEECH in target.record.capabilities
    if not speaks:
        require(target, "audio", doing, "model")
    sound = _sound(files)
    _check(body, tuple(FORMS) if speaks else UNTIMED)
    make = _transcribe if speaks else _generate
    asked = make(target, body, sound, task)
    if body.stream:
        answer = await begin(events_of(target, asked))
        return stream_response(request, answer, HeardEvents(), EVENT_STREAM)
    folded = await ask(target, asked)
    if speaks:
        return heard_respond(folded.result(Heard), body.response_format, task)
    text = folded.sample.text.strip()
    return plain(text + "\n") if body.response_format == "text" else json_response({"text": text})


def _check(body: TranscriptionBody, forms: tuple[str, ...]) -> None:
    """Refuse what no answer could be."""
    if body.stream and body.response_format not in UNTIMED:
        raise Unsupported("Only the text is streamed: response_format is json or text.", param="stream")
    if body.response_format not in forms:
        listed = f"{', '.join(forms[:-1])} or {forms[-1]}"
        raise Unsupported(f"response_format is {listed} with this model.", param="response_format")
    if set(body.timestamp_granularities) - {"segment"}:
        raise Unsupported(
            "Times are told by segment; no model here tells them by word.", param="timestamp_granularities"
        )


def _transcribe(target: Target, body: TranscriptionBody, sound: bytes, task: Task) -> Transcribe:
    return Transcribe(
        model=target.model,
        sound=sound,
        language=body.language,
        translate=task == "translate",
        prompt=body.prompt,
        temperature=min(body.temperature, 1.0),
    )


def _generate(target: Target, body: TranscriptionBody, sound: bytes, task: Task) -> Generate:
    said = [WORDS[task]]
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
    given = files.get("file")
    if not given:
        raise InvalidRequest("file is required", param="file")
    sound = given[0]
    if not sound:
        raise InvalidRequest("This file is empty.", param="file")
    if not is_sound(sound):
        raise InvalidRequest(
            "Sounds must be WAV, MP3, FLAC or Ogg files; M4A, MP4 and WebM are not read.", param="file"
        )
    if len(sound) > LARGEST_FILE:
        raise InvalidRequest(f"At most {LARGEST_FILE >> 20} MB of sound are taken.", param="file")
    return sound
