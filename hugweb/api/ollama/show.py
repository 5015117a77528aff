"""``/api/show``: all that is known of a model, and how it runs here."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from itertools import islice
from typing import Any

import msgspec
from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponseBase
from msgspec import Struct

from aliases.modelfile import modelfile_text, parameters_text
from aliases.names import canonical_name, full_name
from aliases.selectors import alias_resolve
from aliases.target import Target
from aliases.templates import FILLS_IN
from hugweb.api.described import JSON, Operation
from hugweb.api.endpoint import endpoint
from hugweb.api.fields import GivenOptions, ModelName
from hugweb.api.ollama.answers import ShownModel
from hugweb.api.ollama.frames import timestamp
from hugweb.api.ollama.info import model_info
from hugweb.api.ollama.listing import details
from hugweb.api.ollama.requests import parse
from hugweb.api.options import parse_options
from hugweb.api.responses import json_response
from inference.errors import InferenceError, InvalidRequest, ModelNotFound
from inference.protocol import LoadedModel, ModelRef
from inference.providers.registry import get_provider
from inference.store.contents import MOST_TENSORS, config_of, template_of, tensors_of

ENGINE_SECONDS = 1.0
# This client shows the basename to people, who expect the name that they chose.
COPILOT = "GitHubCopilotChat/"
# A host that belongs to a name that Ollama shows.
_HUB = re.compile(r"(?:hf|huggingface)\.co/", re.IGNORECASE)


class ShowBody(Struct, kw_only=True):
    """``POST /api/show``. What a session has set in place of the model's own is shown in the Modelfile."""

    model: ModelName = ""
    name: ModelName = ""
    verbose: bool = False
    system: str = ""
    template: str = ""
    options: GivenOptions = {}


@Operation(
    "All that is known of a model",
    takes={JSON: ShowBody},
    needs=("model name",),
    gives={JSON: ShownModel},
)
@endpoint("POST")
async def show(request: HttpRequest) -> HttpResponseBase:
    body = parse(request.body, ShowBody)
    name = body.model or body.name
    if not name:
        raise InvalidRequest("model is required")
    copilot = request.headers.get("User-Agent", "").startswith(COPILOT)
    target = await sync_to_async(_resolve)(name)
    session = replace(
        target,
        system=body.system or target.system,
        options=parse_options(body.options).over(target.options),
    )
    parts = await asyncio.to_thread(_parts, target, session, body.template)
    known = await asyncio.to_thread(_known, target, name if copilot else "", body.verbose)
    return json_response({**parts, **known, "running": await _running(target)})


def _parts(target: Target, session: Target, template: str) -> dict[str, Any]:
    """What a Modelfile of ``target`` holds, as a ``session`` with it has changed that. Reads a file."""
    template = template or target.template or template_of(target.record.path)
    license = target.alias.license if target.alias else ""
    optional = {
        "license": license,
        "system": session.system,
        "messages": msgspec.to_builtins(target.messages),
    }
    return {
        "modelfile": modelfile_text(session, template, license),
        "parameters": parameters_text(target.options),
        "template": template + (FILLS_IN if "insert" in target.capabilities else ""),
        **{name: value for name, value in optional.items() if value},
    }


def _known(target: Target, basename: str, verbose: bool) -> dict[str, Any]:
    """What ``target`` is. Reads files."""
    record = target.record
    modified = max(record.modified, target.alias.modified) if target.alias else record.modified
    return {
        "details": details(record, target.model.quantization, target.model.dtype),
        "model_info": model_info(record, config_of(record.path), basename or record.name.rpartition("/")[2]),
        **({"tensors": _tensors(target)} if verbose else {}),
        "capabilities": target.capabilities,
        "modified_at": timestamp(modified),
    }


def _tensors(target: Target) -> list[dict[str, Any]]:
    return [tensor._asdict() for tensor in islice(tensors_of(target.record.path), MOST_TENSORS)]


def _resolve(name: str) -> Target:
    """The target of ``name``; the error says it in full."""
    try:
        return alias_resolve(name)
    except ModelNotFound as error:
        hub = _HUB.match(name)
        raise ModelNotFound.named((hub[0] if hub else "") + full_name(canonical_name(name))) from error


async def _running(target: Target) -> dict[str, Any] | None:
    """How the model is loaded, if it is, and if the engine says so at once."""
    try:
        async with asyncio.timeout(ENGINE_SECONDS):
            loaded = await get_provider(target.provider).loaded()
    except (InferenceError, TimeoutError):
        return None
    found = next((model for model in loaded if _is_it(model, target.model)), None)
    return _loaded(found) if found else None


def _is_it(loaded: LoadedModel, wanted: ModelRef) -> bool:
    """Whether a model in memory is what ``wanted`` asks for, whatever name it was last asked for by."""
    if loaded.name == wanted.name:
        return True
    same = wanted.dtype in ("auto", loaded.dtype) and wanted.device in ("auto", loaded.device)
    return same and (loaded.id, loaded.quantization) == (wanted.id, wanted.quantization)


def _loaded(model: LoadedModel) -> dict[str, Any]:
    running: dict[str, Any] = msgspec.to_builtins(model)
    del running["name"], running["id"]
    return running
