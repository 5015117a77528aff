"""Whether the server lives, and whether it can answer. Open to everybody, and says no more."""

from __future__ import annotations

from asgiref.sync import sync_to_async
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from hugweb.drain import DRAIN
from inference.providers.registry import get_provider


@never_cache
@require_safe
async def live(request: HttpRequest) -> JsonResponse:
    """The process runs and its event loop turns."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
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


def database_answers() -> bool:
    """Whether a table can be read: SQLite answers ``SELECT 1`` even when its file is gone."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM django_migrations")
            cursor.fetchone()
    except DatabaseError:
        return False
    return True
