"""Sound, and what is refused, over a real server, driven by OpenAI's client."""

from __future__ import annotations

import openai
import pytest

from inference.protocol import Done, Generate, Text
from tests.api.openai.conftest import ABLE, MODEL, Stage

SOUND = b"RIFF\x00\x00\x00\x00WAVE"
WAV = ("a.wav", SOUND)


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
    with pytest.raises(openai.BadRequestError) as error:
        list(stage.client.audio.transcriptions.create(model=ABLE, file=WAV, stream=True))
    assert error.value.param == "stream"
    assert stage.engine.requests == []


def test_what_nobody_here_can_do_is_said(stage: Stage) -> None:
    with pytest.raises(openai.BadRequestError, match="nothing was checked"):
        stage.client.moderations.create(model=MODEL, input="x")
    with pytest.raises(openai.BadRequestError, match="can speak"):
        stage.client.audio.speech.create(model=MODEL, voice="alloy", input="x")
    with pytest.raises(openai.NotFoundError):
        stage.client.files.list()
