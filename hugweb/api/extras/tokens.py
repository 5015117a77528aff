"""``/api/tokenize`` and ``/api/detokenize``, which Ollama's users ask for: a model's own tokens.

    {"model": "m", "text": "Hi"}      → {"model": "m", "tokens": [17, 4]}
    {"model": "m", "tokens": [17, 4]} → {"model": "m", "text": "Hi"}

Without special tokens. The model is loaded for its tokenizer.
"""

from __future__ import annotations

from typing import Annotated, TypedDict

import msgspec
from django.http import HttpRequest, HttpResponseBase
from msgspec import Struct, ValidationError

from hugweb.api.asking import ask, resolve
from hugweb.api.body import parse
from hugweb.api.described import JSON, Operation
from hugweb.api.durations import keep_alive_seconds
from hugweb.api.endpoint import endpoint
from hugweb.api.fields import KeepAlive, told
from hugweb.api.responses import json_response
from inference.errors import InvalidRequest
from inference.protocol import Detokenize, TokenId, Tokenize, Tokens

LARGEST_TOKEN = 2**31 - 1


class TokenizeBody(Struct, kw_only=True):
    """``text``, or as some clients call it, ``content`` or ``prompt``."""

    model: str = ""
    text: str = ""
    content: str = ""
    prompt: str = ""
    keep_alive: KeepAlive = None


class DetokenizeBody(Struct, kw_only=True):
    """Token ids of the model."""

    model: str = ""
    tokens: list[Annotated[int, told(minimum=0, maximum=LARGEST_TOKEN)]] = []
    keep_alive: KeepAlive = None


class TokensAnswer(TypedDict):
    model: str
    tokens: list[int]


class TextAnswer(TypedDict):
    model: str
    text: str


@Operation("A text as tokens", takes={JSON: TokenizeBody}, needs=("model",), gives={JSON: TokensAnswer})
@endpoint("POST")
async def tokenize(request: HttpRequest) -> HttpResponseBase:
    body = parse(request.body, TokenizeBody)
    target = await resolve(body.model)
    text = body.text or body.content or body.prompt
    keep_alive = keep_alive_seconds(body.keep_alive)
    folded = await ask(target, Tokenize(model=target.model, text=text, keep_alive=keep_alive))
    return json_response({"model": body.model, "tokens": folded.result(Tokens).tokens})


@Operation("Tokens as text", takes={JSON: DetokenizeBody}, needs=("model",), gives={JSON: TextAnswer})
@endpoint("POST")
async def detokenize(request: HttpRequest) -> HttpResponseBase:
    body = parse(request.body, DetokenizeBody)
    target = await resolve(body.model)
    try:
        tokens = msgspec.convert(body.tokens, tuple[TokenId, ...])
    except ValidationError as error:
        raise InvalidRequest(f"invalid tokens: {error}", param="tokens") from error
    keep_alive = keep_alive_seconds(body.keep_alive)
    folded = await ask(target, Detokenize(model=target.model, tokens=tokens, keep_alive=keep_alive))
    return json_response({"model": body.model, "text": folded.sample.text})
