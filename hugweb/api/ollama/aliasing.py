"""Aliases over Ollama's native API: ``/api/create`` and ``/api/copy``."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import Annotated, Any

import msgspec
from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponseBase
from msgspec import Struct, field

from aliases.lookup import look_up
from aliases.names import canonical_name
from aliases.parameters import loading_read
from aliases.services import Settings, alias_copy, alias_create
from aliases.target import Target
from aliases.templates import template_checked
from hugweb.api.described import JSON, LINES, Operation
from hugweb.api.endpoint import endpoint
from hugweb.api.fields import BlobName, GivenOptions, GivenTemplate, ModelName, NewName, told
from hugweb.api.ollama.answers import Status
from hugweb.api.ollama.messages import ChatMessage, messages_ours
from hugweb.api.ollama.pulls import pull_statuses
from hugweb.api.ollama.requests import parse
from hugweb.api.ollama.statuses import Statuses, status_response
from hugweb.api.options import parse_options
from hugweb.api.responses import empty_response
from inference.errors import InvalidRequest, ModelNotFound, Unsupported
from inference.protocol import MAX_MESSAGES, Dtype, Quantization
from inference.store.assembly import blobs_of, model_assemble

# The namespace of models that are made of files and named without one.
LOCAL = "local"
# How a pull ends; what it is part of has ends of its own.
_ENDS = {"writing manifest", "success"}
# Ollama's words for precisions, and ours: 8 or 4 bits for each weight, or the numbers that weights are of.
_BITS: dict[str, Quantization] = {
    **dict.fromkeys(("q8_0", "int8"), "int8"),
    **dict.fromkeys(("q4_0", "q4_1", "q4_k", "q4_k_s", "q4_k_m", "int4"), "int4"),
}
_NUMBERS: dict[str, Dtype] = {"f16": "float16", "bf16": "bfloat16", "f32": "float32"}
_ANY_CASE = re.sub("[a-z]", lambda letter: f"[{letter[0]}{letter[0].upper()}]", "|".join([*_BITS, *_NUMBERS]))
Precision = Annotated[str, told(pattern=f"^(?:{_ANY_CASE})?$")]


class CreateBody(Struct, kw_only=True):
    """``POST /api/create``. ``template`` is Jinja; adapters, which only GGUF models have, are refused."""

    model: NewName = ""
    name: NewName = ""
    source: ModelName = field(name="from", default="")
    files: dict[str, BlobName] = {}
    adapters: Annotated[dict[str, str], told(maxProperties=0)] = {}
    template: GivenTemplate = ""
    license: str | list[str] = ""
    system: str | None = None
    parameters: GivenOptions = {}
    messages: Annotated[list[ChatMessage], told(maxItems=MAX_MESSAGES)] | None = None
    quantize: Precision = ""
    quantization: Precision = ""
    stream: bool = True


class CopyBody(Struct, kw_only=True):
    """``POST /api/copy``."""

    source: ModelName = ""
    destination: NewName = ""


class PushBody(Struct, kw_only=True):
    """``POST /api/push``."""

    model: str = ""
    name: str = ""


@Operation(
    "Make an alias of a model, or a model of files",
    takes={JSON: CreateBody},
    needs=("model name", "from files"),
    gives={LINES: Status, JSON: Status},
)
@endpoint("POST")
async def create(request: HttpRequest) -> HttpResponseBase:
    body = parse(request.body, CreateBody)
    return await status_response(request, _create(body), stream=body.stream)


@Operation(
    "Give a model or an alias another name",
    takes={JSON: CopyBody},
    needs=("source", "destination"),
)
@endpoint("POST")
async def copy(request: HttpRequest) -> HttpResponseBase:
    body = parse(request.body, CopyBody)
    for field_, name in (("source", body.source), ("destination", body.destination)):
        try:
            canonical_name(name)
        except InvalidRequest as error:
            raise InvalidRequest(f'{field_} "{name}" is invalid') from error
    try:
        await sync_to_async(alias_copy)(source=body.source, destination=body.destination)
    except ModelNotFound as error:
        raise ModelNotFound(f'model "{body.source}" not found') from error
    return empty_response()


@Operation(
    "Refused: models are not pushed from here",
    takes={JSON: PushBody},
    needs=("model name",),
    statuses=(),
)
@endpoint("POST")
async def push(request: HttpRequest) -> HttpResponseBase:
    body = parse(request.body, PushBody)
    if not (body.model or body.name):
        raise InvalidRequest("model is required")
    raise Unsupported("Models are not pushed from here. Upload the folder with `hf upload` instead.")


async def _create(body: CreateBody) -> Statuses:
    name = canonical_name(body.model or body.name)
    settings = settings_of(body)
    if body.adapters:
        raise Unsupported("Adapters are not supported. Merge the adapter into its model, and take that.")
    if body.source:
        async for frame in _pulled(body.source):
            yield frame
        target = await look_up(body.source)
        await _alias(name, body, target, settings)
        yield {"status": f"using existing layer sha256:{target.record.digest}"}
    elif body.files:
        await asyncio.to_thread(blobs_of, body.files)
        yield {"status": "converting model"}
        target = await _assembled(name, body.files)
        yield {"status": f"creating new layer sha256:{target.record.digest}"}
        await _alias(name, body, target, settings)
    else:
        raise InvalidRequest("neither 'from' or 'files' was specified")
    yield {"status": "writing manifest"}
    yield {"status": "success"}


async def _pulled(source: str) -> Statuses:
    """How far the pull of ``source`` is, where it is a model that is not here yet."""
    try:
        await look_up(source)
    except ModelNotFound:
        name = canonical_name(source)
        if "/" not in name:
            raise
        async with contextlib.aclosing(pull_statuses(name)) as statuses:
            async for frame in statuses:
                if frame["status"] not in _ENDS:
                    yield frame


async def _alias(name: str, body: CreateBody, target: Target, settings: Settings) -> None:
    """Make ``name`` stand for ``target``, unless it is that model's own name and nothing is added."""
    if name.lower() != target.record.name.lower() or settings != Settings():
        await sync_to_async(alias_create)(name=name, source=target.model.name, settings=settings)


async def _assembled(name: str, files: dict[str, str]) -> Target:
    """The model made of ``files``: called ``name`` if that can be a model's, else in our namespace."""
    model = name.replace(":", "-")
    model = model if "/" in model else f"{LOCAL}/{model}"
    taken = await sync_to_async(model_assemble)(name=model, files=files)
    return await look_up(taken.record.name)


def settings_of(body: CreateBody) -> Settings:
    """What the alias is to say beyond its source; ``quantize`` wins over the parameters of that name."""
    settings = Settings(
        system=body.system,
        messages=None if body.messages is None else messages_ours(body.messages),
        options=parse_options(body.parameters),
        template=template_checked(body.template) or None,
        license="\n\n".join(body.license) if isinstance(body.license, list) else body.license or None,
    )
    loading = loading_read(body.parameters) | _precision(body.quantize or body.quantization)
    return msgspec.structs.replace(settings, **loading)


def _precision(wanted: str) -> dict[str, Any]:
    """What ``quantize`` means for how the model is loaded."""
    if not wanted:
        return {}
    if bits := _BITS.get(wanted.lower()):
        return {"quantization": bits}
    if numbers := _NUMBERS.get(wanted.lower()):
        return {"quantization": "none", "dtype": numbers}
    raise InvalidRequest(
        f"unsupported quantization type {wanted.upper()} - allowed types are Q8_0, Q4_K_M, F16, BF16 and F32"
    )
