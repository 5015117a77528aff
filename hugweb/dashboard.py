"""What the admin's first page shows: what runs now, and what was asked, from the sums of days."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import psutil
from asgiref.sync import async_to_sync
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse

from hugweb.disk import disk_read
from inference.engines import engine_line, engine_loaded
from inference.protocol import LoadedModel
from inference.usage.charts import bar_chart
from inference.usage.export import usage_csv
from inference.usage.selectors import usage_by, usage_by_day, usage_days, usage_total
from inference.usage.views import PERIODS, period_of

PERMISSION = "usage.view_usageday"
TOP = 10


def context(request: HttpRequest) -> dict[str, Any]:
    """Everything on the page; without usage for those who may not see it."""
    if not request.user.has_perm(PERMISSION):
        return live()
    days = period_of(request)
    rows = usage_days(days=days)
    by_day = usage_by_day(rows, days=days)
    return {
        **live(),
        "usage_days": days,
        "periods": PERIODS,
        "total": usage_total(rows),
        "charts": [
            bar_chart("Requests a day", "requests", [(sums.name, sums.requests) for sums in by_day]),
            bar_chart("Tokens a day", "tokens", [(sums.name, sums.tokens) for sums in by_day]),
            bar_chart(
                "Mean time to the first token",
                "ms",
                [(sums.name, round((sums.first_token_seconds or 0) * 1000)) for sums in by_day],
            ),
            bar_chart("Errors a day", "errors", [(sums.name, sums.failed) for sums in by_day]),
        ],
        "tables": [
            ("Model", usage_by(rows, "model", most=TOP)),
            ("Alias", usage_by(rows, "alias", most=TOP)),
            ("User", usage_by(rows, "user__username", most=TOP)),
            ("Key", usage_by(rows, "key", most=TOP)),
            ("Through", usage_by(rows, "source", most=TOP)),
        ],
    }


def live() -> dict[str, Any]:
    """The models in memory (None where the engine gives no answer), who waits, the memory, and the disk."""
    memory = psutil.virtual_memory()
    loaded, line = async_to_sync(_engine)()
    queues = [Queue.of(model) for model in loaded or ()] + [Queue.of(model, "room") for model in line]
    return {
        "loaded": loaded,
        "queues": queues,
        "running": sum(queue.running for queue in queues),
        "waiting": sum(queue.waiting for queue in queues),
        "memory": {"used": memory.total - memory.available, "total": memory.total, "percent": memory.percent},
        "disk": disk_read(),
    }


@dataclass(frozen=True)
class Queue:
    """Who asks for one model now. ``places``: how many it answers at a time, 0 for all that come."""

    model: str
    running: int
    waiting: int
    places: int
    waits_for: str

    @classmethod
    def of(cls, model: LoadedModel, waits_for: str = "") -> Queue:
        for_load = "the load" if model.state == "loading" else "a place"
        running = model.active - model.waiting
        return cls(model.name, running, model.waiting, model.places, waits_for or for_load)


async def _engine() -> tuple[tuple[LoadedModel, ...] | None, tuple[LoadedModel, ...]]:
    return await asyncio.gather(engine_loaded(), engine_line())


def usage_file(request: HttpRequest) -> HttpResponse:
    """Everybody's usage as CSV."""
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    return HttpResponse(
        "".join(usage_csv(usage_days(days=period_of(request)))),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="usage.csv"'},
    )
