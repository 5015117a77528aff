"""The page "my usage": what somebody has asked, as charts, tables and CSV. Others see nothing of it."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from inference.usage.charts import bar_chart
from inference.usage.export import usage_csv
from inference.usage.selectors import usage_by, usage_by_day, usage_days, usage_total

PERIODS = (7, 30, 90, 365)
DEFAULT_PERIOD = 30


@never_cache
@login_required
@require_safe
def my_usage(request: HttpRequest) -> HttpResponse:
    """Charts by day, tables by model and by key."""
    days = period_of(request)
    rows = usage_days(days=days, user=_user(request))
    by_day = usage_by_day(rows, days=days)
    context = {
        "days": days,
        "periods": PERIODS,
        "total": usage_total(rows),
        "charts": [
            bar_chart("Tokens a day", "tokens", [(sums.name, sums.tokens) for sums in by_day]),
            bar_chart("Requests a day", "requests", [(sums.name, sums.requests) for sums in by_day]),
        ],
        "tables": [
            ("Model", usage_by(rows, "model")),
            ("Key", usage_by(rows, "key")),
            ("Through", usage_by(rows, "source")),
        ],
    }
    return render(request, "usage/mine.html", context)


@never_cache
@login_required
@require_safe
def my_usage_csv(request: HttpRequest) -> HttpResponse:
    """The same as a file: a line for each day, model, alias, key and source."""
    rows = usage_days(days=period_of(request), user=_user(request))
    return HttpResponse(
        "".join(usage_csv(rows)),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="usage.csv"'},
    )


def period_of(request: HttpRequest) -> int:
    """The number of days that the address asks for, if it is one of ``PERIODS``."""
    wanted = request.GET.get("days", "")
    return int(wanted) if wanted in map(str, PERIODS) else DEFAULT_PERIOD


def _user(request: HttpRequest) -> User:
    assert request.user.is_authenticated
    return request.user
