"""Sound, and what is refused, over a real server, driven by OpenAI's client."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from openai.types.audio import (
    Transcription,
    TranscriptionStreamEvent,
    TranscriptionVerbose,
    TranslationVerbose,
)
from pydantic import TypeAdapter

from inference.errors import InferenceError
from inference.protocol import Done, Failed, Generate, Heard, Text, Utterance
from tests.api.openai.conftest import ABLE, MODEL, SPEECH, Stage

SOUND = b"RIFF\x00\x00\x00\x00WAVE"
WAV = ("a.wav", SOUND)
SAID = Utterance(
    start=0, end=1, text=" Hello", tokens=(1, 2), seek=0, temperature=0, logprob=-0.5, silence=0.1
)
HEARD = Heard(language="english", duration=1.5, utterances=(SAID,))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_model_that_hears_writes_down_what_is_said(stage: Stage) -> None:
    stage.plays(Text(text=" Hello "), Text(text="there.\n"), Done(reason="stop"))
    answer = stage.client.audio.transcriptions.create(
        model=ABLE, file=WAV, language="en", prompt="A greeting."
    )
    assert answer.text == "Hello there."
    (message,) = stage.asked(Generate).messages
    assert (message.audios, message.role) == ((SOUND,), "user")
    assert message.content.endswith("The language is en. A greeting.")
    assert stage.asked(Generate).options.temperature == 0
    text = stage.client.audio.transcriptions.create(model=ABLE, file=WAV, response_format="text")
    assert text == "Hello there.\n"
    assert stage.client.audio.translations.create(model=ABLE, file=WAV).text == "Hello there."
    assert "English" in stage.asked(Generate).messages[0].content


@pytest.mark.parametrize("model", [ABLE, SPEECH])
def test_what_is_heard_is_told_as_it_is_understood(stage: Stage, model: str) -> None:
    stage.plays(Text(text=" "), Text(text=" Hello"), Text(text=" there.\n"), HEARD, Done(reason="stop"))
    ask: Any = {"model": model, "file": WAV, "stream": True}
    events: Any = list(stage.client.audio.transcriptions.create(**ask))
    assert [(event.type, getattr(event, "delta", None)) for event in events] == [
        ("transcript.text.delta", "Hello"),
        ("transcript.text.delta", " there.\n"),
        ("transcript.text.done", None),
    ]
    assert events[-1].text == "Hello there."
    for event in events:
        TypeAdapter(TranscriptionStreamEvent).validate_json(event.to_json(), strict=True)
    stage.plays(Text(text="Hello"), Failed.of(InferenceError("It broke.")))
    with pytest.raises(openai.APIError, match="It broke"):
        list(stage.client.audio.transcriptions.create(**ask))
    stage.engine.requests.clear()
    with pytest.raises(openai.BadRequestError) as error:
        stage.client.audio.transcriptions.create(**ask, response_format="verbose_json")
    assert error.value.param == "stream"
    assert stage.engine.requests == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_speech_models_answers_are_the_clients_own(stage: Stage) -> None:
    """Its own reader of forms and of forms of answers takes nearly anything."""
    stage.plays(Text(text=" Hello"), HEARD, Done(reason="stop"))
    ask: Any = {"model": SPEECH, "file": WAV}
    for what, kind in (
        (stage.client.audio.transcriptions, TranscriptionVerbose),
        (stage.client.audio.translations, TranslationVerbose),
    ):
        raw = what.with_raw_response.create(**ask, response_format="verbose_json")
        verbose: Any = kind.model_validate_json(raw.text, strict=True)
        assert (verbose.text, verbose.duration, [one.text for one in verbose.segments]) == (
            "Hello",
            1.5,
            [" Hello"],
        )
    raw = stage.client.audio.transcriptions.with_raw_response.create(**ask)
    usage = Transcription.model_validate_json(raw.text, strict=True).usage
    assert usage
    assert usage.type == "duration"


def test_a_model_that_does_not_hear_is_refused(stage: Stage) -> None:
    with pytest.raises(openai.BadRequestError, match="does not support transcription") as error:
        stage.client.audio.transcriptions.create(model=MODEL, file=WAV)
    assert (error.value.param, error.value.code) == ("model", "unsupported_value")
    with pytest.raises(openai.NotFoundError):
        stage.client.audio.transcriptions.create(model="whisper-1", file=WAV)
    assert stage.engine.requests == []


def test_an_empty_file_and_other_forms_of_answer_are_refused(stage: Stage) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        stage.client.audio.transcriptions.create(model=ABLE, file=("a.wav", b""))
    assert error.value.param == "file"
    assert "empty" in error.value.message
    with pytest.raises(openai.BadRequestError) as error:
        stage.client.audio.transcriptions.create(model=ABLE, file=WAV, response_format="srt")
    assert error.value.param == "response_format"
    assert stage.engine.requests == []


def test_what_nobody_here_can_do_is_said(stage: Stage) -> None:
    with pytest.raises(openai.BadRequestError, match="nothing was checked"):
        stage.client.moderations.create(model=MODEL, input="x")
    with pytest.raises(openai.BadRequestError, match="can speak"):
        stage.client.audio.speech.create(model=MODEL, voice="alloy", input="x")
    with pytest.raises(openai.NotFoundError):
        stage.client.files.list()
