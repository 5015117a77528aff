"""Models of other kinds behind Ollama's API, on the real engine: vectors, ranks and pictures seen."""

from __future__ import annotations

import math
from collections.abc import Iterator

import httpx
import ollama
import pytest

from tests.serving import Server, pull_models
from tests.shapes import draw, saved
from tests.tiny import make_tiny_bert
from tests.tiny_vision import make_tiny_vision

EMBEDDER, RANKER, SEER = "tiny/embedder", "tiny/ranker", "tiny/seer"
GREEDY = {"temperature": 0, "num_predict": 8}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("kinds")
    folders = {
        EMBEDDER: make_tiny_bert(root / "embedder"),
        RANKER: make_tiny_bert(root / "ranker", labels=1),
        SEER: make_tiny_vision("llava", root / "seer"),
    }
    pull_models(root / "home", folders)
    with Server(root / "home") as server:
        yield server


@pytest.fixture
def client(server: Server) -> ollama.Client:
    return ollama.Client(server.url)


def length(vector: list[float] | object) -> float:
    return math.sqrt(sum(number * number for number in vector))  # type: ignore[attr-defined]


def test_vectors_have_unit_length_and_the_order_of_their_texts(client: ollama.Client) -> None:
    """28"""
    one = client.embed(EMBEDDER, "The fox")
    both = client.embed(EMBEDDER, ["The dog", "The fox"])
    assert (one.prompt_eval_count or 0) > 0
    assert length(one.embeddings[0]) == pytest.approx(1, abs=1e-3)
    assert both.embeddings[1] == pytest.approx(one.embeddings[0], abs=1e-4)
    assert both.embeddings[0] != pytest.approx(one.embeddings[0], abs=1e-2)
    cut = client.embed(EMBEDDER, "The fox", dimensions=8).embeddings[0]
    assert len(cut) == 8
    assert length(cut) == pytest.approx(1, abs=1e-3)


def test_nothing_and_too_much(client: ollama.Client) -> None:
    """29, 30"""
    assert client.embed(EMBEDDER, "").embeddings == []
    assert client.embeddings(EMBEDDER, "").embedding == []
    assert length(client.embeddings(EMBEDDER, "The fox").embedding) == pytest.approx(1, abs=1e-3)
    assert len(client.embed(EMBEDDER, "fox " * 500).embeddings) == 1
    with pytest.raises(ollama.ResponseError) as error:
        client.embed(EMBEDDER, "fox " * 500, truncate=False)
    assert error.value.status_code == 400
    assert error.value.error == "the input length exceeds the context length"
    with pytest.raises(ollama.ResponseError, match=f'"{EMBEDDER}" does not support chat'):
        client.chat(EMBEDDER, [])


def test_documents_are_ranked(server: Server) -> None:
    documents = ["The fox", "Paris", "a dog and a box"]
    body = {"model": RANKER, "query": "fox", "documents": documents, "return_documents": True}
    answer = httpx.post(f"{server.url}/v1/rerank", json=body, timeout=60).json()
    scores = [result["relevance_score"] for result in answer["results"]]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert {result["document"]["text"] for result in answer["results"]} == set(documents)
    assert answer["usage"]["total_tokens"] > 0


def test_a_picture_changes_the_answer(client: ollama.Client) -> None:
    """27"""
    assert "vision" in (client.show(SEER).capabilities or ())
    said = set()
    for colour in ("red", "blue"):
        picture = saved(draw(colour, "circle", colour))
        message = {"role": "user", "content": "What?", "images": [picture]}
        chat = client.chat(SEER, [message], options=GREEDY).message.content
        assert client.generate(SEER, "What?", images=[picture], options=GREEDY).response == chat
        said.add(chat)
    assert len(said) == 2
