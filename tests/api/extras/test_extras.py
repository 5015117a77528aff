"""Tokens and ranks, which no other API of the house has."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inference.protocol import Detokenize, Done, Ranked, Rerank, Text, Tokenize, Tokens, Usage
from tests.api.stage import Stage
from tests.serving import MODEL

STOP = Done(reason="stop", usage=Usage(prompt=12))
RERANK = {"model": "test/reranker", "query": "q", "documents": ["a", {"text": "b"}, "c"]}


@pytest.mark.parametrize("name", ["text", "content", "prompt"])
def test_a_text_becomes_tokens(stage: Stage, name: str) -> None:
    stage.plays(Tokens(tokens=(17, 4)), Done(reason="stop"))
    status, _, body = stage.post("/api/tokenize", {"model": MODEL, name: "Hi", "keep_alive": "90s"})
    assert (status, json.loads(body)) == (200, {"model": MODEL, "tokens": [17, 4]})
    sent = stage.engine.requests[-1]
    assert isinstance(sent, Tokenize)
    assert (sent.text, sent.keep_alive) == ("Hi", 90)


def test_tokens_become_a_text(stage: Stage) -> None:
    stage.plays(Text(text="Hi"), Done(reason="stop"))
    status, _, body = stage.post("/api/detokenize", {"model": MODEL, "tokens": [17, 4]})
    assert (status, json.loads(body)) == (200, {"model": MODEL, "text": "Hi"})
    sent = stage.engine.requests[-1]
    assert isinstance(sent, Detokenize)
    assert sent.tokens == (17, 4)


@pytest.mark.parametrize("path", ["/api/rerank", "/v1/rerank"])
def test_documents_are_ranked(stage: Stage, path: str) -> None:
    stage.plays(Ranked(scores=(0.1, 0.9, 0.5)), STOP)
    answer = json.loads(stage.post(path, RERANK)[2])
    assert [result["index"] for result in answer["results"]] == [1, 2, 0]
    assert [result["relevance_score"] for result in answer["results"]] == [0.9, 0.5, 0.1]
    assert answer["usage"] == {"prompt_tokens": 12, "total_tokens": 12}
    assert "document" not in answer["results"][0]
    answer = json.loads(stage.post(path, {**RERANK, "top_n": 1, "return_documents": True})[2])
    assert answer["results"] == [{"index": 1, "relevance_score": 0.9, "document": {"text": "b"}}]
    sent = stage.engine.requests[-1]
    assert isinstance(sent, Rerank)
    assert (sent.query, sent.documents) == ("q", ("a", "b", "c"))


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("/api/tokenize", {}, 400, "model is required"),
        ("/api/tokenize", {"model": "nope", "text": "x"}, 404, "model 'nope' not found"),
        ("/api/tokenize", {"model": MODEL, "text": 1}, 400, "invalid request"),
        ("/api/detokenize", {"model": MODEL, "tokens": [-1]}, 400, "invalid tokens"),
        ("/api/detokenize", {"model": MODEL, "tokens": "x"}, 400, "invalid request"),
        ("/api/rerank", {**RERANK, "model": MODEL}, 400, "does not support rerank"),
        ("/api/rerank", {**RERANK, "query": ""}, 400, "query is required"),
        ("/api/rerank", {**RERANK, "documents": []}, 400, "documents is required"),
        ("/api/rerank", {**RERANK, "documents": ["x"] * 2049}, 400, "invalid request"),
        ("/api/rerank", {**RERANK, "documents": [{"a": 1}]}, 400, "invalid request"),
        ("/api/rerank", {**RERANK, "top_n": 0}, 400, "top_n"),
        ("/api/rerank", {**RERANK, "keep_alive": "10"}, 400, "missing unit"),
    ],
)
def test_mistakes_are_said(stage: Stage, path: str, body: Any, status: int, text: str) -> None:
    answered, _, said = stage.post(path, body)
    assert answered == status
    assert text in json.loads(said)["error"]
    assert stage.engine.requests == []


def test_mistakes_on_v1_have_openais_shape(stage: Stage) -> None:
    status, _, said = stage.post("/v1/rerank", {**RERANK, "query": ""})
    assert (status, json.loads(said)["error"]["param"]) == (400, "query")


def test_a_score_that_json_lacks_is_an_error(stage: Stage) -> None:
    stage.plays(Ranked(scores=(0.1, float("nan"), 0.5)), STOP)
    assert stage.post("/api/rerank", RERANK)[0] == 400
