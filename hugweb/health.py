"""Whether the server lives, whether it can answer, with which models, and its figures."""

from __future__ import annotations

import asyncio
from typing import Any, Literal, NotRequired, TypedDict

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from prometheus_client import CONTENT_TYPE_LATEST

from aliases.selectors import loaded_visible
from hugweb.api.admission import check_rate, key_used
from hugweb.api.described import JSON, TEXT, Operation
from hugweb.api.endpoint import endpoint
from hugweb.drain import DRAIN
from hugweb.metrics import exposition
from inference.errors import Forbidden, InferenceError
from inference.keys.models import Scope
from inference.protocol import LoadedModel
from inference.providers.configs import providers_off
from inference.providers.registry import PROVIDERS, get_provider

METHODS = ("GET", "HEAD")
STATUSES = (200, 503)
# Either will do to see figures.
MEASURING = {Scope.READ, Scope.MANAGE}


class Liveness(TypedDict):
    status: Literal["ok"]


class Readiness(TypedDict):
    status: Literal["ok", "unavailable"]
    database: bool
    engine: bool
    draining: bool


class ModelHealth(TypedDict):
    name: str
    state: Literal["loading", "ready", "stopping"]
    device: str
    quantization: str
    size: int
    context_length: int
    active: int


class ProviderHealth(TypedDict):
    status: Literal["ok", "unavailable"]
    models: NotRequired[list[ModelHealth]]


class ModelsHealth(TypedDict):
    status: Literal["ok", "unavailable"]
    providers: dict[str, ProviderHealth]


@Operation("Whether the process runs", methods=METHODS, gives={JSON: Liveness})
@never_cache
@endpoint(*METHODS)
async def live(request: HttpRequest) -> JsonResponse:
    """The process runs and its event loop turns."""
    return JsonResponse({"status": "ok"})


@Operation("Whether a request would be answered", methods=METHODS, gives={JSON: Readiness}, statuses=STATUSES)
@never_cache
@endpoint(*METHODS)
async def ready(request: HttpRequest) -> JsonResponse:
    """A request would be answered now."""
    database = await sync_to_async(database_answers)()
    engine = await get_provider("huggingface").healthy()
    is_ready = database and engine and not DRAIN.draining
    return JsonResponse(
        {
            "status": "ok" if is_ready else "unavailable",
            "database": database,
            "engine": engine,
            "draining": DRAIN.draining,
        },
        status=200 if is_ready else 503,
    )


@Operation("The health of each provider", methods=METHODS, gives={JSON: ModelsHealth}, statuses=STATUSES)
@never_cache
@endpoint(*METHODS)
async def models(request: HttpRequest) -> JsonResponse:
    """Each provider's health, and the state of each model in its memory; 503 unless all are well.

    One that is switched off is left alone. On a network address the models are for those who are logged in.
    """
    user = await _user(request)
    off = await sync_to_async(_off)()
    asked = [name for name in PROVIDERS if name not in off]
    providers = {name: {"status": "disabled", "models": []} for name in PROVIDERS}
    providers |= dict(
        zip(asked, await asyncio.gather(*(_provider(name, user.pk) for name in asked)), strict=True)
    )
    if not settings.ON_LOOPBACK and not user.is_authenticated:
        providers = {name: {"status": provider["status"]} for name, provider in providers.items()}
    is_well = all(provider["status"] != "unavailable" for provider in providers.values())
    return JsonResponse(
        {"status": "ok" if is_well else "unavailable", "providers": providers}, status=200 if is_well else 503
    )


async def _user(request: HttpRequest) -> User | AnonymousUser:
    """Who is logged in; nobody where the database does not answer."""
    try:
        return await request.auser()
    except DatabaseError:
        return AnonymousUser()


def _off() -> frozenset[str]:
    """The providers that are switched off; none where the database does not answer."""
    try:
        return providers_off()
    except DatabaseError:
        return frozenset()


async def _provider(name: str, user: int | None) -> dict[str, Any]:
    loaded = await _loaded(name)
    if loaded is None:
        return {"status": "unavailable", "models": []}
    known = await sync_to_async(loaded_visible)(loaded, user)
    return {"status": "ok", "models": [_model(model) for model in known]}


async def _loaded(name: str) -> tuple[LoadedModel, ...] | None:
    """The models in that provider's memory; ``None`` where it gives no answer."""
    provider = get_provider(name)
    try:
        return await provider.loaded() if await provider.healthy() else None
    except InferenceError:
        return None


def _model(model: LoadedModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "state": "stopping" if model.stopping else model.state,
        "device": model.device,
        "dtype": model.dtype,
        "quantization": model.quantization,
        "size": model.size,
        "context_length": model.context_length,
        "active": model.active,
    }


@Operation("Figures for Prometheus", methods=METHODS, gives={TEXT: str})
@never_cache
@endpoint(*METHODS)
async def metrics(request: HttpRequest) -> HttpResponse:
    """Figures for Prometheus. On a network address for staff and for keys that may read: they name models."""
    await _check_may_measure(request)
    return HttpResponse(exposition(await _loaded("huggingface")), content_type=CONTENT_TYPE_LATEST)


async def _check_may_measure(request: HttpRequest) -> None:
    """``Unauthorized`` or ``Forbidden`` unless whoever asks may see figures."""
    token = token_of(request.headers.get("Authorization", ""))
    if settings.ON_LOOPBACK or (not token and (await request.auser()).is_staff):
        return
    if not token:
        raise Forbidden("Metrics are for staff on a network address: log in, or send a key that may read.")
    key = await sync_to_async(key_used)(token)
    if not MEASURING & set(key.scopes):
        raise Forbidden("This key may not see metrics: it lacks the scopes 'read' and 'manage'.")
    check_rate(key)


def token_of(authorization: str) -> str:
    """The token of an Authorization header, as Prometheus sends it; empty where there is none."""
    kind, _, token = authorization.partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def database_answers() -> bool:
    """Whether a table can be read: SQLite answers ``SELECT 1`` even when its file is gone."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM django_migrations")
            cursor.fetchone()
    except DatabaseError:
        return False
    return True
