"""``/models/``: what the model picker of the chat links to, for those who manage models."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache

from hugweb.pulling import PullPages, may_pull


def managing(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """``view`` for those who may pull; others are told so, strangers are asked to log in."""

    @never_cache
    @login_required
    @wraps(view)
    def guarded(request: HttpRequest) -> HttpResponse:
        if not may_pull(request.user):
            raise PermissionDenied
        return view(request)

    return guarded


PAGES = PullPages("models", "pulls/page.html")
page = managing(PAGES.page)
urls = PAGES.urls(managing)
