"""The reranking handler: a tiny cross-encoder against the same computed by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from inference.engine.core import Engine
from inference.errors import ContextOverflow, Unsupported
from inference.protocol import Embed, ModelRef, Ranked, Rerank
from tests.tiny import make_tiny_bert

DOCUMENTS = ("Paris.", "The quick brown fox jumps over the lazy dog.", "word " * 200)


@pytest.fixture(scope="module")
def reranker(models_root: Path) -> Path:
    return make_tiny_bert(models_root / "tiny" / "reranker", labels=1)


async def rank(engine: Engine, folder: Path, query: str) -> tuple[float, ...]:
    request = Rerank(model=ModelRef(name="m", path=str(folder)), query=query, documents=DOCUMENTS)
    (ranked,) = [event async for event in engine.submit(request) if isinstance(event, Ranked)]
    return ranked.scores


async def test_scores_are_those_of_each_pair_alone(engine: Engine, reranker: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(reranker)
    model = AutoModelForSequenceClassification.from_pretrained(reranker, dtype=torch.float32)
    expected = []
    for document in DOCUMENTS:
        pair = tokenizer(
            "Which city?", document, return_tensors="pt", truncation="only_second", max_length=64
        )
        with torch.inference_mode():
            expected.append(float(model(**pair).logits.sigmoid()))
    assert await rank(engine, reranker, "Which city?") == pytest.approx(expected, abs=1e-5)


async def test_a_query_that_leaves_no_room_is_refused(engine: Engine, reranker: Path) -> None:
    for words in (16, 100, 1_000_000):
        with pytest.raises(ContextOverflow, match="query is longer than 32 tokens"):
            await rank(engine, reranker, "word " * words)


async def test_a_classifier_is_not_a_reranker(engine: Engine, reranker: Path, models_root: Path) -> None:
    classifier = make_tiny_bert(models_root / "tiny" / "classifier", labels=3)
    with pytest.raises(Unsupported, match="cannot be run yet"):
        await rank(engine, classifier, "x")
    with pytest.raises(Unsupported, match="ranks documents"):
        async for _ in engine.submit(Embed(model=ModelRef(name="m", path=str(reranker)), texts=("x",))):
            pass
