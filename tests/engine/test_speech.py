"""The speech handler: a tiny Whisper writes down what it hears, with times, languages and a stop."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.engine.core import Engine
from inference.engine.speech import Stretch, repetitiveness, stretches_of
from inference.errors import InvalidRequest, TooLarge, Unsupported
from inference.protocol import Done, Embed, Event, Heard, ModelRef, Reading, Text, Transcribe
from tests.tiny_speech import WINDOW, make_tiny_whisper, tone

FIRST = 1000


@pytest.fixture(scope="module")
def whisper(models_root: Path) -> Path:
    return make_tiny_whisper(models_root / "speech" / "whisper")


def asked(folder: Path, sound: bytes, **more: Any) -> Transcribe:
    return Transcribe(model=ModelRef(name=folder.name, path=str(folder)), sound=sound, **more)


async def events_of(engine: Engine, folder: Path, sound: bytes, **more: Any) -> list[Event]:
    return [event async for event in engine.submit(asked(folder, sound, **more))]


async def heard(engine: Engine, folder: Path, sound: bytes, **more: Any) -> Heard:
    events = await events_of(engine, folder, sound, **more)
    assert isinstance(events[-1], Done)
    (found,) = (event for event in events if isinstance(event, Heard))
    assert "".join(event.text for event in events if isinstance(event, Text)) == text_of(found)
    return found


def text_of(found: Heard) -> str:
    return "".join(each.text for each in found.utterances)


async def test_what_it_writes_depends_on_what_it_hears(engine: Engine, whisper: Path) -> None:
    low, high = tone(3, 220), tone(3, 1760)
    first = await heard(engine, whisper, low, language="en")
    assert text_of(first)
    assert await heard(engine, whisper, low, language="en") == first
    assert text_of(await heard(engine, whisper, high, language="en")) != text_of(first)


async def test_stretches_follow_each_other_within_the_sound(engine: Engine, whisper: Path) -> None:
    found = await heard(engine, whisper, tone(WINDOW * 2.5))
    assert found.duration == pytest.approx(WINDOW * 2.5, abs=0.01)
    assert found.timed
    times = [time for each in found.utterances for time in (each.start, each.end)]
    assert times == sorted(times)
    assert times[-1] <= found.duration + 0.01
    assert len({each.seek for each in found.utterances}) > 1


async def test_how_far_it_is_is_told(engine: Engine, whisper: Path) -> None:
    events = await events_of(engine, whisper, tone(WINDOW * 3))
    read = [event.done for event in events if isinstance(event, Reading)]
    assert read == sorted(read)
    assert (read[0], read[-1]) == (0, WINDOW * 300)
    assert events[-1].usage.completion > 0  # type: ignore[union-attr]


async def test_the_language_and_the_task_count(engine: Engine, whisper: Path) -> None:
    sound = tone(WINDOW)
    german = await heard(engine, whisper, sound, language="de")
    assert german.language == "german"
    assert await heard(engine, whisper, sound, language="German") == german
    others = [{"language": "fr"}, {"language": "de", "translate": True}, {"language": "de", "prompt": "Bär"}]
    for more in others:
        assert text_of(await heard(engine, whisper, sound, **more)) != text_of(german)
    detected = await heard(engine, whisper, sound)
    assert detected.language in {"english", "german", "french"}
    assert detected == await heard(engine, whisper, sound, language=detected.language)


@pytest.mark.parametrize("kind", ["FLAC", "OGG", "MP3"])
async def test_other_files_and_rates_are_read(engine: Engine, whisper: Path, kind: str) -> None:
    found = await heard(engine, whisper, tone(WINDOW, kind=kind, rate=44_100), language="en")
    assert found.duration == pytest.approx(WINDOW, abs=0.1)


async def test_a_model_of_one_language_and_one_without_marks(engine: Engine, models_root: Path) -> None:
    english = make_tiny_whisper(models_root / "speech" / "english", english=True)
    assert (await heard(engine, english, tone(WINDOW), language="en")).language == "english"
    with pytest.raises(Unsupported, match="cannot translate"):
        await events_of(engine, english, tone(1), translate=True)
    with pytest.raises(InvalidRequest, match="does not know the language 'de'"):
        await events_of(engine, english, tone(1), language="de")
    unmarked = await heard(
        engine,
        make_tiny_whisper(models_root / "speech" / "unmarked", timed=False),
        tone(WINDOW * 2),
        language="en",
    )
    assert not unmarked.timed
    assert [(each.start, each.end) for each in unmarked.utterances] == [(0, WINDOW), (WINDOW, WINDOW * 2)]


@pytest.mark.parametrize(
    ("sound", "more", "error", "message"),
    [
        (b"no sound", {}, InvalidRequest, "Send WAV, FLAC, Ogg or MP3"),
        (tone(0.0), {}, InvalidRequest, "empty"),
        (tone(3601, rate=4000), {}, TooLarge, "longer than 3600 seconds"),
        (tone(1), {"language": "klingon"}, InvalidRequest, "does not know the language"),
        (tone(1), {"prompt": "<|startoftranscript|>"}, InvalidRequest, "control token"),
    ],
    ids=["no sound", "empty", "long", "language", "control"],
)
async def test_what_cannot_be_heard_is_refused(
    engine: Engine, whisper: Path, sound: bytes, more: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        await events_of(engine, whisper, sound, **more)


async def test_leaving_ends_it(engine: Engine, whisper: Path) -> None:
    before = await heard(engine, whisper, tone(1))
    steps = engine.status().steps
    async with contextlib.aclosing(engine.submit(asked(whisper, tone(WINDOW * 200)))) as events:
        async for event in events:
            if isinstance(event, Reading) and event.done:
                break
    assert await heard(engine, whisper, tone(1)) == before
    assert engine.status().steps - steps < 50


async def test_it_does_nothing_else(engine: Engine, whisper: Path) -> None:
    request = Embed(model=ModelRef(name="w", path=str(whisper)), texts=("x",))
    with pytest.raises(Unsupported, match="writes down what is said"):
        [event async for event in engine.submit(request)]
    with pytest.raises(Unsupported, match="int8"):
        model = ModelRef(name="w", path=str(whisper), quantization="int8")
        [event async for event in engine.submit(Transcribe(model=model, sound=tone(1)))]


@pytest.mark.parametrize(
    ("tokens", "stretches", "ahead"),
    [
        # A mark before and behind each; nothing follows the last.
        ([FIRST, 1, 2, FIRST + 30], [Stretch(0, 30, (1, 2))], 0),
        # Two marks at the end: somebody goes on there.
        ([FIRST, 1, FIRST + 30, FIRST + 30, 2, FIRST + 70, FIRST + 70], [(0, 30, (1,)), (30, 70, (2,))], 70),
        # Text behind the last mark is heard again.
        ([FIRST, 1, FIRST + 30, FIRST + 30, 2], [(0, 30, (1,))], 30),
        # Nothing but text is the window's.
        ([1, 2], [(0, None, (1, 2))], 0),
        ([], [], 0),
        ([FIRST, FIRST + 5], [], 0),
    ],
)
def test_text_between_marks(tokens: list[int], stretches: list[Any], ahead: int) -> None:
    assert stretches_of(tokens, FIRST) == ([Stretch(*_fields(each)) for each in stretches], ahead)


def _fields(each: Any) -> tuple[Any, ...]:
    return (each.start, each.end, each.tokens) if isinstance(each, Stretch) else each


@given(st.lists(st.integers(FIRST - 20, FIRST + 100), max_size=40))
def test_no_order_of_marks_turns_time_back(tokens: list[int]) -> None:
    stretches, ahead = stretches_of(tokens, FIRST)
    for stretch in stretches:
        assert stretch.tokens
        assert stretch.end is None or stretch.end >= stretch.start
    assert ahead in {0, *(stretch.end for stretch in stretches)}


def test_what_says_the_same_again_and_again_is_told() -> None:
    assert repetitiveness("Thank you. " * 40) > 2.4
    assert repetitiveness("Paris is the capital of France; Berlin that of Germany.") < 2.4
    assert repetitiveness("") == 0
