"""``/v1/models``: every model and every alias of one, by the names that requests may use.

OpenAI's and Anthropic's clients ask the same address, and each leaves alone what the other reads: a model is
told with the fields of both.
"""

from __future__ import annotations

from datetime import UTC, datetime

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponseBase
from msgspec import Struct

from aliases.lookup import look_up
from aliases.selectors import models_named
from hugweb.api.described import JSON, Operation
from hugweb.api.endpoint import endpoint
from hugweb.api.fields import ModelName
from hugweb.api.openai.answers import Model, ModelList
from hugweb.api.openai.frames import Frame
from hugweb.api.responses import json_response
from inference.asker import asker
from inference.models import ModelRecord

OWNER = "library"


@Operation("Every model, and every alias of one", gives={JSON: ModelList})
@endpoint("GET", "HEAD")
async def models(request: HttpRequest) -> HttpResponseBase:
    listed = await sync_to_async(_models)()
    ids = [one["id"] for one in listed] or [None]
    pages = {"has_more": False, "first_id": ids[0], "last_id": ids[-1]}
    return json_response({"object": "list", "data": listed, **pages})


class ModelAddress(Struct):
    """Which model."""

    name: ModelName


@Operation("One of them", parameters=ModelAddress, gives={JSON: Model})
@endpoint("GET", "HEAD")
async def model(request: HttpRequest, name: str) -> HttpResponseBase:
    """One of them. ``name`` may hold slashes, whether they come escaped or not."""
    target = await look_up(name)
    modified = max(one.modified for one in (target.record, target.alias) if one)
    return json_response(_model(name, modified, target.record))


def _models() -> list[Frame]:
    """Those that whoever asks may see, newest first."""
    named = [
        (alias.name, max(alias.modified, record.modified), record)
        if alias
        else (record.name, record.modified, record)
        for record, alias in models_named(asker().user)
    ]
    named.sort(key=lambda one: one[1], reverse=True)
    return [_model(*one) for one in named]


def _model(name: str, modified: datetime, record: ModelRecord) -> Frame:
    owner, slash, _ = name.partition("/")
    return {
        "id": name,
        "object": "model",
        "created": int(modified.timestamp()),
        "owned_by": owner if slash else OWNER,
        "type": "model",
        "display_name": name,
        "created_at": modified.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "lifecycle": "active",
        "max_input_tokens": record.context_length or None,
    }
