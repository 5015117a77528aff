"""The trained model through the engine's socket: it names what is in pictures that it never saw."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from inference.client import EngineClient
from inference.engine.config import EngineConfig
from inference.engine.server import EngineServer
from inference.protocol import Generate, Message, ModelRef, Options, Quantization, Text
from tests.engine.engines import engine_of
from tests.shapes import NAMES, draw, saved

FOLDER = Path(__file__).parent.parent / "data" / "shapes"
MODEL = ModelRef(name="tiny/shapes", path=str(FOLDER))
QUESTION = "What is in this picture?"
FORMATS = ({"format": "PNG"}, {"format": "JPEG", "quality": 92}, {"format": "WEBP", "lossless": True})


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[EngineClient]:
    address = str(tmp_path / "run" / "e.sock")
    config = EngineConfig(address=address, model_roots=(str(FOLDER),), cache="", device="cpu")
    engine = engine_of(config)
    async with EngineServer(engine, address):
        yield EngineClient(address)
    await engine.close()


async def ask(client: EngineClient, *messages: Message, model: ModelRef = MODEL) -> str:
    request = Generate(model=model, messages=messages, options=Options(temperature=0, num_predict=24))
    return "".join([event.text async for event in client.stream(request) if isinstance(event, Text)])


def picture(colour: str, shape: str, number: int = 0) -> bytes:
    """One that was not among those it learnt from."""
    return saved(draw(colour, shape, f"unseen {number}"), **FORMATS[number % len(FORMATS)])


def user(text: str, *pictures: bytes) -> Message:
    return Message(role="user", content=text, images=pictures)


async def test_it_names_what_it_never_saw(client: EngineClient) -> None:
    """All at once, so in batches of many rows; in three formats."""
    shown = [(colour, shape, number) for colour, shape in NAMES for number in range(6)]
    answers = await asyncio.gather(*(ask(client, user(QUESTION, picture(*name))) for name in shown))
    right = [f"A {colour} {shape}." == said for (colour, shape, _), said in zip(shown, answers, strict=True)]
    assert sum(right) / len(right) >= 0.95


@pytest.mark.parametrize("quantization", ["int8", "int4"])
async def test_in_fewer_bits_it_sees_as_well(client: EngineClient, quantization: Quantization) -> None:
    """Its language model is 128 numbers wide, so that all of its linear layers are quantized."""
    model = replace(MODEL, quantization=quantization)
    asked = [(name, user(QUESTION, picture(*name, 3))) for name in NAMES]
    answers = await asyncio.gather(*(ask(client, question, model=model) for _, question in asked))
    right = [
        f"A {colour} {shape}." == said for ((colour, shape), _), said in zip(asked, answers, strict=True)
    ]
    assert sum(right) / len(right) >= 0.95


async def test_swapped_pictures_swap_the_answers(client: EngineClient) -> None:
    circle, star = picture("red", "circle"), picture("blue", "star")
    question = "What is in these pictures?"
    assert await ask(client, user(question, circle, star)) == "A red circle and a blue star."
    assert await ask(client, user(question, star, circle)) == "A blue star and a red circle."
    assert await ask(client, user(QUESTION, circle)) == "A red circle."
    assert await ask(client, user(QUESTION, star)) == "A blue star."


async def test_it_remembers_the_picture_of_an_earlier_turn(client: EngineClient) -> None:
    first = user(QUESTION, picture("green", "triangle"))
    said = await ask(client, first)
    turns = (first, Message(role="assistant", content=said), user("What colour is it?"))
    assert await ask(client, *turns) == "Green."


async def test_without_a_picture_it_sees_none(client: EngineClient) -> None:
    assert await ask(client, user(QUESTION)) == "I see no picture."
