"""Embeddings of Ollama's native API: ``/api/embed``, and ``/api/embeddings`` of old."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from msgspec import ValidationError

from aliases.lookup import look_up
from aliases.target import Target
from hugweb.api.asking import ask
from hugweb.api.described import JSON, Operation
from hugweb.api.durations import keep_alive_seconds
from hugweb.api.endpoint import endpoint
from hugweb.api.fields import told
from hugweb.api.generation import Folded
from hugweb.api.ollama.answers import Embedding, Embeddings
from hugweb.api.ollama.requests import KeptBody, parse
from hugweb.api.options import parse_options
from hugweb.api.responses import json_response
from hugweb.api.vectors import vectors_read
from inference.errors import ContextOverflow, InvalidRequest, ModelNotFound, Unsupported
from inference.protocol import LARGEST, Embed, Embedded, Load

TOO_LONG = "the input length exceeds the context length"
# Where not even what the model puts around a text fits.
STILL_TOO_LONG = "input after truncation exceeds maximum context length"

Texts = Annotated[
    Any, told(anyOf=[{"type": "string"}, {"type": "array", "items": {"type": "string"}}, {"type": "null"}])
]


class EmbedBody(KeptBody, kw_only=True):
    """``POST /api/embed``."""

    input: Texts = None
    truncate: bool = True
    dimensions: Annotated[int, told(minimum=0, maximum=LARGEST)] = 0


class EmbeddingsBody(KeptBody, kw_only=True):
    """``POST /api/embeddings``."""

    prompt: str = ""


@Operation("The vectors of texts", takes={JSON: EmbedBody}, needs=("model",), gives={JSON: Embeddings})
@endpoint("POST")
async def embed(request: HttpRequest) -> HttpResponseBase:
    body = parse(request.body, EmbedBody)
    texts = _texts(body.input)
    if not body.model:
        raise ModelNotFound.named("")
    target = await _resolve(body.model)
    keep_alive = keep_alive_seconds(body.keep_alive)
    asked = _embed_request(target, body, texts, keep_alive)
    if not texts:
        await ask(target, Load(model=target.model, keep_alive=keep_alive))
        return json_response({"model": body.model, "embeddings": []})
    try:
        folded = await ask(target, asked)
    except ContextOverflow as error:
        raise ContextOverflow(STILL_TOO_LONG if body.truncate else TOO_LONG) from error
    return await asyncio.to_thread(_embeddings, body.model, folded)


@Operation(
    "The vector of a text, as it was asked for of old",
    takes={JSON: EmbeddingsBody},
    needs=("model",),
    gives={JSON: Embedding},
)
@endpoint("POST")
async def embeddings(request: HttpRequest) -> HttpResponseBase:
    """One text, and nothing but its vector."""
    body = parse(request.body, EmbeddingsBody)
    if not body.model:
        raise InvalidRequest("model is required")
    target = await _resolve(body.model)
    keep_alive, most = keep_alive_seconds(body.keep_alive), _most_tokens(body, target)
    if not body.prompt:
        await ask(target, Load(model=target.model, keep_alive=keep_alive))
        return json_response({"embedding": []})
    asked = Embed(model=target.model, texts=(body.prompt,), num_ctx=most, keep_alive=keep_alive)
    folded = await ask(target, asked)
    (vector,) = await asyncio.to_thread(vectors_read, folded.result(Embedded))
    return json_response({"embedding": vector})


def _most_tokens(body: KeptBody, target: Target) -> int | None:
    """How many tokens of a text are read at most, as far as the request or the alias says."""
    return parse_options(body.options).over(target.options).num_ctx


def _texts(given: Any) -> tuple[str, ...]:
    """What is to be embedded; none if there is nothing, one for a text, even an empty one in a list."""
    if given is None:
        return ()
    try:
        return msgspec.convert([given] if isinstance(given, str) else given, tuple[str, ...])
    except ValidationError as error:
        raise InvalidRequest("invalid input type") from error


async def _resolve(name: str) -> Target:
    """The target of ``name``, which embeds; the error's words are those of Ollama's embedding endpoints."""
    try:
        target = await look_up(name)
    except ModelNotFound as error:
        raise ModelNotFound(f'model "{name}" not found, try pulling it first') from error
    if "embedding" not in target.capabilities:
        raise Unsupported(f'"{target.model.name}" does not support embeddings')
    return target


def _embed_request(
    target: Target, body: EmbedBody, texts: tuple[str, ...], keep_alive: float | None
) -> Embed:
    wanted = {
        "model": target.model,
        "texts": texts,
        "dimensions": body.dimensions,
        "truncate": body.truncate,
        "num_ctx": _most_tokens(body, target),
        "keep_alive": keep_alive,
    }
    try:
        return msgspec.convert(wanted, Embed)
    except ValidationError as error:
        raise InvalidRequest(f"invalid request: {error}") from error


def _embeddings(model: str, folded: Folded) -> HttpResponse:
    frame = {
        "model": model,
        "embeddings": vectors_read(folded.result(Embedded)),
        "total_duration": folded.done.timings.total,
        "load_duration": folded.done.timings.load,
        "prompt_eval_count": folded.done.usage.prompt,
    }
    return json_response(frame)
