"""OpenAI's client on the real engine with models of other kinds: speech, pictures, vectors."""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Iterator
from typing import Any

import numpy
import openai
import pytest
from PIL import Image

from tests.serving import Server, pull_models
from tests.tiny import make_tiny_bert, tiny_tokenizer
from tests.tiny_pipelines import SIDE, make_tiny_sd
from tests.tiny_speech import WINDOW, make_tiny_whisper, tone
from tests.tiny_vision import make_tiny_vision

SPEECH, HEARER, PAINTER, EMBEDDER = "tiny/whisper", "tiny/omni", "tiny/painter", "tiny/embedder"
STEPS: Any = {"steps": 3, "seed": 7}
CLOCK = r"\d\d:\d\d:\d\d{point}\d\d\d --> \d\d:\d\d:\d\d{point}\d\d\d"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    root = tmp_path_factory.mktemp("kinds")
    folders = {
        SPEECH: make_tiny_whisper(root / "whisper"),
        HEARER: make_tiny_vision("qwen2_5_omni", root / "omni"),
        PAINTER: make_tiny_sd(root / "sd"),
        EMBEDDER: make_tiny_bert(root / "bert"),
    }
    pull_models(root / "home", folders)
    with Server(root / "home") as server:
        yield openai.OpenAI(base_url=f"{server.url}/v1", api_key="-", max_retries=0, timeout=60)


def sound(pitch: float = 440.0, kind: str = "WAV") -> tuple[str, bytes]:
    return f"a.{kind.lower()}", tone(WINDOW * 2, pitch, kind=kind)


def test_what_is_said_in_every_form(client: openai.OpenAI) -> None:
    ask = client.audio.transcriptions.create
    whole = ask(
        model=SPEECH,
        file=sound(),
        language="en",
        response_format="verbose_json",
        timestamp_granularities=["segment"],
    )
    assert (whole.language, whole.segments and len(whole.segments) > 0) == ("english", True)
    assert float(whole.duration) == pytest.approx(WINDOW * 2, abs=0.01)
    assert whole.segments
    assert "".join(segment.text for segment in whole.segments).strip() == whole.text
    for segment in whole.segments:
        assert 0 <= segment.start <= segment.end <= WINDOW * 2
        assert segment.avg_logprob <= 0
        assert 0 <= segment.no_speech_prob <= 1
    assert ask(model=SPEECH, file=sound(), language="en").text == whole.text
    assert ask(model=SPEECH, file=sound(), language="en", response_format="text") == whole.text + "\n"
    events: Any = list(ask(model=SPEECH, file=sound(), language="en", stream=True))
    pieces = [event.delta for event in events if event.type == "transcript.text.delta"]
    assert len(pieces) == len(whole.segments)
    assert "".join(pieces).rstrip() == events[-1].text == whole.text
    srt = ask(model=SPEECH, file=sound(), language="en", response_format="srt")
    vtt = ask(model=SPEECH, file=sound(), language="en", response_format="vtt")
    assert len(re.findall(CLOCK.format(point=","), srt)) == len(whole.segments)
    assert len(re.findall(CLOCK.format(point=r"\."), vtt)) == len(whole.segments)
    assert srt.startswith("1\n00:00:0")
    assert vtt.startswith("WEBVTT\n\n00:00:0")


def test_another_sound_language_or_task_is_another_text(client: openai.OpenAI) -> None:
    ask = client.audio.transcriptions.create
    plain = ask(model=SPEECH, file=sound(), language="en").text
    assert ask(model=SPEECH, file=sound(880), language="en").text != plain
    assert ask(model=SPEECH, file=sound(), language="de").text != plain
    assert ask(model=SPEECH, file=sound(kind="FLAC"), language="en").text
    assert client.audio.translations.create(model=SPEECH, file=sound()).text != ""


@pytest.mark.parametrize(
    ("file", "more", "message"),
    [
        (("a.m4a", b"\0\0\0\x20ftypM4A "), {}, "M4A, MP4 and WebM are not read"),
        (("a.wav", b"RIFF\0\0\0\0WAVE"), {}, "Send WAV, FLAC, Ogg or MP3"),
        (sound(), {"timestamp_granularities": ["word", "segment"]}, "no model here tells them by word"),
        (sound(), {"language": "tlh"}, "does not know the language"),
        (sound(), {"response_format": "diarized_json"}, "json, text, verbose_json, srt or vtt"),
    ],
    ids=["m4a", "broken", "words", "language", "form"],
)
def test_what_cannot_be_written_down_is_the_requests_mistake(
    client: openai.OpenAI, file: tuple[str, bytes], more: Any, message: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=message):
        client.audio.transcriptions.create(model=SPEECH, file=file, **more)


def test_a_speech_model_does_not_chat_and_is_listed(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="does not support chat"):
        client.chat.completions.create(model=SPEECH, messages=[{"role": "user", "content": "Hello!"}])
    assert {model.id for model in client.models.list()} >= {SPEECH, HEARER, PAINTER, EMBEDDER}


def heard(client: openai.OpenAI, pitch: float) -> str | None:
    data = base64.b64encode(tone(1, pitch)).decode()
    parts: Any = [
        {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}},
        {"type": "text", "text": "What?"},
    ]
    messages: Any = [{"role": "user", "content": parts}]
    answer = client.chat.completions.create(
        model=HEARER, messages=messages, temperature=0, max_completion_tokens=8
    )
    return answer.choices[0].message.content


def test_an_omni_model_hears_in_chats(client: openai.OpenAI) -> None:
    assert heard(client, 220) == heard(client, 220)
    assert heard(client, 220) != heard(client, 1760)
    with pytest.raises(openai.BadRequestError, match="json or text"):
        client.audio.transcriptions.create(model=HEARER, file=sound(), response_format="vtt")


def png(picture: Image.Image, name: str = "a.png") -> tuple[str, bytes, str]:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return name, file.getvalue(), "image/png"


def opened(answer: Any) -> list[numpy.ndarray]:
    pictures = (Image.open(io.BytesIO(base64.b64decode(one.b64_json))) for one in answer.data)
    return [numpy.asarray(picture.convert("RGB")) for picture in pictures]


def test_pictures_of_words(client: openai.OpenAI) -> None:
    ask = client.images.generate
    two = opened(ask(model=PAINTER, prompt="a circle", n=2, size="48x32", extra_body=STEPS))  # type: ignore[call-overload]
    assert [picture.shape for picture in two] == [(32, 48, 3)] * 2
    assert (two[0] != two[1]).any()
    second = ask(model=PAINTER, prompt="a circle", size="48x32", extra_body=STEPS | {"seed": 8})  # type: ignore[call-overload]
    assert (opened(second)[0] == two[1]).all()
    with pytest.raises(openai.BadRequestError, match="the nearest to 33 × 32"):
        ask(model=PAINTER, prompt="a circle", size="33x32", extra_body=STEPS)  # type: ignore[call-overload]


def test_edits_with_and_without_a_mask_and_variations(client: openai.OpenAI) -> None:
    source = Image.effect_noise((SIDE, SIDE), 64).convert("RGB")
    mask = Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (0, 0, SIDE // 2, SIDE))
    before = numpy.asarray(source)
    ask = client.images.edit
    masked = opened(ask(model=PAINTER, prompt="x", image=png(source), mask=png(mask), extra_body=STEPS))[0]
    assert (masked[:, SIDE // 2 :] == before[:, SIDE // 2 :]).all()
    assert (masked[:, : SIDE // 2] != before[:, : SIDE // 2]).mean() > 0.9
    whole = opened(ask(model=PAINTER, prompt="x", image=png(source), extra_body=STEPS))[0]
    assert (whole[:, SIDE // 2 :] != before[:, SIDE // 2 :]).any()
    varied = client.images.create_variation(model=PAINTER, image=png(source), n=2, extra_body=STEPS)
    assert [picture.shape for picture in opened(varied)] == [(SIDE, SIDE, 3)] * 2


def test_vectors_of_texts_and_of_tokens(client: openai.OpenAI) -> None:
    """The client asks for base64 unless it is told otherwise, and decodes that by itself."""
    ask = client.embeddings.create
    packed = ask(model=EMBEDDER, input=["The fox", "Paris"])
    plain = ask(model=EMBEDDER, input=["The fox", "Paris"], encoding_format="float")
    for one, other in zip(packed.data, plain.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
        assert math.hypot(*one.embedding) == pytest.approx(1, abs=1e-4)
    assert packed.usage.prompt_tokens > 0
    tokens = tiny_tokenizer()("The fox", add_special_tokens=False)["input_ids"]
    of_tokens = ask(model=EMBEDDER, input=[tokens])
    assert of_tokens.data[0].embedding == pytest.approx(packed.data[0].embedding, abs=1e-4)
    assert len(ask(model=EMBEDDER, input="The fox", dimensions=8).data[0].embedding) == 8
