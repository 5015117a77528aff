"""Embeddings and the list of models over a real server, driven by OpenAI's client."""

from __future__ import annotations

import json
import struct
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from inference.errors import ContextOverflow
from inference.protocol import Done, Embed, Embedded, Event, Failed, Request, Usage
from tests.api.openai.conftest import ALIAS, MODEL, NAMES, VECTORS, Stage


async def embedding(request: Request) -> AsyncIterator[Event]:
    """A vector of a text's length and a half for each."""
    if isinstance(request, Embed):
        numbers = [number for text in request.texts for number in (len(text), 0.5)]
        yield Embedded(vectors=struct.pack(f"<{len(numbers)}f", *numbers), width=2)
        yield Done(reason="stop", usage=Usage(prompt=sum(map(len, request.texts))))


@pytest.fixture(autouse=True)
def _embedding(stage: Stage) -> None:
    stage.engine.script = embedding


@pytest.mark.parametrize("encoding", [{}, {"encoding_format": "float"}])
def test_texts_become_vectors(stage: Stage, encoding: Any) -> None:
    """The client asks for base64 where nothing is said, and decodes it."""
    answer = stage.client.embeddings.create(model=VECTORS, input=["a", "bcd", ""], **encoding)
    assert [(one.index, one.embedding) for one in answer.data] == [
        (0, [1, 0.5]),
        (1, [3, 0.5]),
        (2, [0, 0.5]),
    ]
    assert (answer.model, answer.usage.prompt_tokens, answer.usage.total_tokens) == (VECTORS, 4, 4)
    assert stage.asked(Embed).truncate is False


def test_base64_is_little_endian_float32(stage: Stage) -> None:
    status, _, text = stage.post(
        "/v1/embeddings", {"model": VECTORS, "input": "abc", "encoding_format": "base64"}
    )
    assert status == 200
    assert json.loads(text)["data"][0]["embedding"] == "AABAQAAAAD8="


def test_one_text_and_fewer_dimensions(stage: Stage) -> None:
    answer = stage.client.embeddings.create(
        model=VECTORS, input="abc", dimensions=1, extra_body={"keep_alive": 0}
    )
    assert len(answer.data) == 1
    assert (stage.asked(Embed).dimensions, stage.asked(Embed).keep_alive) == (1, 0)


@pytest.mark.parametrize(
    ("given", "texts"),
    [
        ([72, 105], ((72, 105),)),
        ([[72], [105, 33]], ((72,), (105, 33))),
        (["a", [72]], ("a", (72,))),
        ([[72]] * 2048, ((72,),) * 2048),
    ],
)
def test_however_many_inputs_are_one_request(stage: Stage, given: Any, texts: tuple[Any, ...]) -> None:
    answer = stage.client.embeddings.create(model=VECTORS, input=given)
    assert stage.asked(Embed).texts == texts
    assert len(stage.engine.requests) == 1
    assert [one.index for one in answer.data] == list(range(len(texts)))


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": [[]]}, "input"),
        ({"input": 1}, "input"),
        ({"input": ["a", 1]}, "input"),
        ({"input": ["a", None]}, "input[1]"),
        ({"input": ["a"] * 2049}, "input"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "dimensions": "two"}, "dimensions"),
    ],
)
def test_what_is_wrong_is_a_400_that_names_the_field(stage: Stage, body: Any, param: str) -> None:
    status, _, text = stage.post("/v1/embeddings", {"model": VECTORS, **body})
    assert (status, json.loads(text)["error"]["param"]) == (400, param)
    assert stage.engine.requests == []


def test_a_model_for_text_has_no_vectors(stage: Stage) -> None:
    with pytest.raises(openai.BadRequestError, match="does not support embeddings"):
        stage.client.embeddings.create(model=MODEL, input="a")


def test_a_text_that_is_too_long(stage: Stage) -> None:
    stage.plays(Failed.of(ContextOverflow("It is too long.")))
    with pytest.raises(openai.BadRequestError) as error:
        stage.client.embeddings.create(model=VECTORS, input="a")
    assert error.value.code == "context_length_exceeded"


def test_models_and_aliases_are_listed(stage: Stage) -> None:
    listed = list(stage.client.models.list())
    assert {model.id for model in listed} == NAMES
    assert {model.id: model.owned_by for model in listed}[ALIAS] == "library"
    assert all(model.object == "model" and model.created > 1e9 for model in listed)


@pytest.mark.parametrize("name", [MODEL, ALIAS, f"{MODEL}:latest"])
def test_one_model_is_found_by_any_of_its_names(stage: Stage, name: str) -> None:
    assert stage.client.models.retrieve(name).id == name
    status, _, text = stage.request("GET", f"/v1/models/{name}")
    assert (status, json.loads(text)["id"]) == (200, name)


def test_an_unknown_model_is_not_found(stage: Stage) -> None:
    with pytest.raises(openai.NotFoundError) as error:
        stage.client.models.retrieve("test/nope")
    assert error.value.code == "model_not_found"
