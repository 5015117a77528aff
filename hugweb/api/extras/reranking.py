"""``/api/rerank`` and ``/v1/rerank``: how well each document answers a query, the best first.

In the form that Jina, Cohere, vLLM and the clients of each share:

    {"model": "m", "query": "q", "documents": ["a", {"text": "b"}], "top_n": 1, "return_documents": true}
    → {"id": "rerank-…", "model": "m",
       "results": [{"index": 1, "relevance_score": 0.9, "document": {"text": "b"}}],
       "usage": {"prompt_tokens": 12, "total_tokens": 12}}
"""

from __future__ import annotations

import math
import secrets
from typing import Annotated, Any, NotRequired, TypedDict

import msgspec
from django.http import HttpRequest, HttpResponseBase
from msgspec import Struct, ValidationError

from hugweb.api.asking import ask, resolve
from hugweb.api.body import parse
from hugweb.api.described import JSON, Operation
from hugweb.api.durations import keep_alive_seconds
from hugweb.api.endpoint import endpoint
from hugweb.api.fields import KeepAlive, told
from hugweb.api.generation import Folded
from hugweb.api.responses import json_response
from inference.errors import InvalidRequest, Unsupported
from inference.protocol import MAX_TEXTS, Ranked, Rerank


class Document(Struct, kw_only=True):
    """A document as an object."""

    text: str


class RerankBody(Struct, kw_only=True):
    """The body of both endpoints."""

    model: str = ""
    query: str = ""
    documents: Annotated[list[str | Document], told(maxItems=MAX_TEXTS)] = []
    top_n: Annotated[int, told(minimum=1)] | None = None
    return_documents: bool = False
    keep_alive: KeepAlive = None


class RankedDocument(TypedDict):
    text: str


class Ranking(TypedDict):
    index: int
    relevance_score: float
    document: NotRequired[RankedDocument]


class RankedUsage(TypedDict):
    prompt_tokens: int
    total_tokens: int


class RankedAnswer(TypedDict):
    id: str
    model: str
    results: list[Ranking]
    usage: RankedUsage


@Operation(
    "How well documents answer a query, the best first",
    takes={JSON: RerankBody},
    needs=("model", "query", "documents"),
    gives={JSON: RankedAnswer},
)
@endpoint("POST")
async def rerank(request: HttpRequest) -> HttpResponseBase:
    body = parse(request.body, RerankBody)
    target = await resolve(body.model)
    if "rerank" not in target.capabilities:
        raise Unsupported(f'"{target.model.name}" does not support rerank', param="model")
    texts = _texts(body)
    wanted = {
        "model": target.model,
        "query": body.query,
        "documents": texts,
        "keep_alive": keep_alive_seconds(body.keep_alive),
    }
    try:
        ours = msgspec.convert(wanted, Rerank)
    except ValidationError as error:
        raise InvalidRequest(f"invalid request: {error}", param="documents") from error
    folded = await ask(target, ours)
    return json_response(_answer(body, texts, folded))


def _texts(body: RerankBody) -> tuple[str, ...]:
    if not body.query:
        raise InvalidRequest("query is required", param="query")
    if not body.documents:
        raise InvalidRequest("documents is required", param="documents")
    if body.top_n is not None and body.top_n < 1:
        raise InvalidRequest("top_n must be at least 1", param="top_n")
    return tuple(each if isinstance(each, str) else each.text for each in body.documents)


def _answer(body: RerankBody, texts: tuple[str, ...], folded: Folded) -> dict[str, Any]:
    scores = _scores(folded, len(texts))
    best = sorted(range(len(texts)), key=lambda index: scores[index], reverse=True)[: body.top_n]
    results = [
        {"index": index, "relevance_score": scores[index]}
        | ({"document": {"text": texts[index]}} if body.return_documents else {})
        for index in best
    ]
    tokens = folded.done.usage.prompt
    return {
        "id": f"rerank-{secrets.token_hex(12)}",
        "model": body.model,
        "results": results,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _scores(folded: Folded, count: int) -> tuple[float, ...]:
    scores = folded.result(Ranked).scores
    if len(scores) != count or not all(map(math.isfinite, scores)):
        raise InvalidRequest("the scores contain NaN or Inf values, or are too few")
    return scores
