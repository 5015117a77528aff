"""Embeddings: parse, turn token ids into text, ask, write."""

from __future__ import annotations

import array
import asyncio
import base64
import sys

import msgspec
from django.http import HttpRequest, HttpResponseBase

from aliases.selectors import Target
from hugweb.api.body import parse
from hugweb.api.endpoint import endpoint
from hugweb.api.generation import Folded, begin, fold
from hugweb.api.openai.capabilities import resolve
from hugweb.api.openai.embeddings.requests import EmbeddingBody, Tokens
from hugweb.api.openai.frames import Frame
from hugweb.api.responses import json_response
from inference.errors import EngineDied
from inference.protocol import Detokenize, Embed, Embedded
from inference.providers.registry import get_provider

FLOAT_BYTES = 4


@endpoint("POST")
async def embeddings(request: HttpRequest) -> HttpResponseBase:
    body = parse(request.body, EmbeddingBody)
    target = await resolve(body.model, "embedding", "embeddings")
    texts = [
        one if isinstance(one, str) else await _text(target, one, body.seconds_to_stay())
        for one in body.inputs()
    ]
    asked = Embed(
        model=target.model,
        texts=tuple(texts),
        dimensions=body.dimensions or 0,
        truncate=False,
        keep_alive=body.seconds_to_stay(),
    )
    folded = await fold(await begin(get_provider(target.provider).stream(asked)))
    tokens = folded.done.usage.prompt
    return json_response(
        {
            "object": "list",
            "data": await asyncio.to_thread(_data, _embedded(folded), body.encoding_format),
            "model": body.model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )


async def _text(target: Target, tokens: Tokens, keep_alive: float | None) -> str:
    asked = Detokenize(model=target.model, tokens=tokens, keep_alive=keep_alive)
    folded = await fold(await begin(get_provider(target.provider).stream(asked)))
    return folded.sample.text


def _embedded(folded: Folded) -> Embedded:
    for result in folded.results:
        if isinstance(result, Embedded):
            return result
    raise EngineDied


def _data(embedded: Embedded, encoding: str) -> list[Frame]:
    size = embedded.width * FLOAT_BYTES
    vectors = [embedded.vectors[start : start + size] for start in range(0, len(embedded.vectors), size)]
    write = _base64 if encoding == "base64" else _floats
    return [
        {"object": "embedding", "index": index, "embedding": write(vector)}
        for index, vector in enumerate(vectors)
    ]


def _base64(vector: bytes) -> str:
    return base64.b64encode(vector).decode()


def _floats(vector: bytes) -> msgspec.Raw:
    """JSON already, since writing thousands of vectors takes longer than the event loop may stand."""
    floats = array.array("f", vector)
    if sys.byteorder == "big":
        floats.byteswap()
    return msgspec.Raw(msgspec.json.encode(floats.tolist()))
