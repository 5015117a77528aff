"""What the admin's first page shows: what runs now, and what was asked, from the sums of days."""

from __future__ import annotations

import shutil
from typing import Any

import psutil
from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse

from inference.engines import engine_loaded
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
            ("Key", usage_by(rows, "key__name", most=TOP)),
            ("Through", usage_by(rows, "source", most=TOP)),
        ],
    }


def live() -> dict[str, Any]:
    """The models in memory (None where the engine gives no answer), the memory, and the disk."""
    memory, disk = psutil.virtual_memory(), shutil.disk_usage(settings.HOME)
    return {
        "loaded": async_to_sync(engine_loaded)(),
        "memory": {"used": memory.total - memory.available, "total": memory.total, "percent": memory.percent},
        "disk": {"used": disk.used, "total": disk.total, "percent": round(100 * disk.used / disk.total, 1)},
    }


def usage_file(request: HttpRequest) -> HttpResponse:
    """Everybody's usage as CSV."""
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    return HttpResponse(
        "".join(usage_csv(usage_days(days=period_of(request)))),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="usage.csv"'},
    )
