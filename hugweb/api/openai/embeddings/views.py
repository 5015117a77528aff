"""Embeddings: parse, ask, write."""

from __future__ import annotations

import asyncio
import base64

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from hugweb.api.asking import ask
from hugweb.api.body import parse
from hugweb.api.described import JSON, Operation
from hugweb.api.endpoint import endpoint
from hugweb.api.generation import Folded
from hugweb.api.openai.answers import EmbeddingList
from hugweb.api.openai.capabilities import resolve
from hugweb.api.openai.embeddings.requests import EmbeddingBody
from hugweb.api.responses import json_response
from hugweb.api.vectors import vectors_read
from inference.protocol import Embed, Embedded

FLOAT_BYTES = 4


@Operation(
    "The vectors of texts",
    takes={JSON: EmbeddingBody},
    needs=("model", "input"),
    gives={JSON: EmbeddingList},
)
@endpoint("POST")
async def embeddings(request: HttpRequest) -> HttpResponseBase:
    body = parse(request.body, EmbeddingBody)
    target = await resolve(body.model, "embedding", "embeddings")
    asked = Embed(
        model=target.model,
        texts=tuple(body.inputs()),
        dimensions=body.dimensions or 0,
        truncate=False,
        keep_alive=body.seconds_to_stay(),
    )
    return await asyncio.to_thread(_written, body, await ask(target, asked))


def _written(body: EmbeddingBody, folded: Folded) -> HttpResponse:
    """In a thread: thousands of vectors take longer than the event loop may stand still."""
    embedded = folded.result(Embedded)
    vectors = _base64(embedded) if body.encoding_format == "base64" else vectors_read(embedded)
    tokens = folded.done.usage.prompt
    return json_response(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": vector}
                for index, vector in enumerate(vectors)
            ],
            "model": body.model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )


def _base64(embedded: Embedded) -> list[str]:
    size = embedded.width * FLOAT_BYTES
    starts = range(0, len(embedded.vectors), size or 1)
    return [base64.b64encode(embedded.vectors[start : start + size]).decode() for start in starts]
