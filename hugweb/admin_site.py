"""The admin's frame: unfold's, with our colours, our dashboard, and as strict a CSP as it can bear.

unfold's interface is Alpine, which evaluates the expressions in its own attributes, and libraries that
write styles: pages of the admin, and only they, allow ``unsafe-eval`` and inline styles. Inline
scripts stay forbidden, and so does everything from elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from csp.decorators import csp_update
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.http import urlencode
from unfold.sites import UnfoldAdminSite

from hugweb import dashboard

ALLOWED = {"script-src": ["'unsafe-eval'"], "style-src": ["'unsafe-inline'"], "font-src": ["'self'"]}


class HugWebAdminSite(UnfoldAdminSite):
    """Everything under ``/admin/``."""

    site_title = site_header = "HugWeb"
    index_title = "Dashboard"
    index_template = "admin/dashboard.html"

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Callable[..., Any]:
        allowed: Callable[..., Any] = csp_update(ALLOWED)(super().admin_view(view, cacheable))
        return allowed

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        return {**super().each_context(request), "colors": None}

    def extra_urls(self) -> list[URLPattern]:
        return [
            path("live/", self.admin_view(self.live), name="live"),
            path("usage.csv", self.admin_view(dashboard.usage_file), name="usage-file"),
        ]

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The same log-in as everywhere. Who is logged in and may not be here is told so there."""
        return HttpResponseRedirect(f"/login/?{urlencode({'next': request.GET.get('next', '/admin/')})}")

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        return super().index(request, {**(extra_context or {}), **dashboard.context(request)})

    def live(self, request: HttpRequest) -> HttpResponse:
        """What is in memory now, as a part of the dashboard."""
        return render(request, "admin/_live.html", dashboard.live())
