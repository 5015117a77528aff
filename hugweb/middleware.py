"""Django's middlewares, called on the event loop where they wait for nothing.

In an asynchronous application Django sends what each of them does before and after a view through a
thread, fourteen times for one request: a third of the time until an API's first token. Of all of
that only storing a session or messages, and reading a form for its token, asks a database or a file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgiref.sync import sync_to_async
from csp.middleware import CSPMiddleware
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.common import CommonMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from django.middleware.security import SecurityMiddleware
from django.utils.deprecation import MiddlewareMixin


class OnTheLoop(MiddlewareMixin):
    """A middleware whose ``process_request`` never waits, and whose ``process_response`` seldom does."""

    def waits(self, request: HttpRequest) -> bool:
        """Whether ``process_response`` will ask a database or a file."""
        return False

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.process_request(request) if hasattr(self, "process_request") else None
        response = response or await self.get_response(request)  # type: ignore[misc]
        if not hasattr(self, "process_response"):
            return response
        if self.waits(request):
            answer: HttpResponseBase = await sync_to_async(self.process_response)(request, response)
            return answer
        return self.process_response(request, response)


class Security(OnTheLoop, SecurityMiddleware):
    """Headers for every answer."""


class ContentSecurityPolicy(OnTheLoop, CSPMiddleware):
    """What a page may load."""


class Sessions(OnTheLoop, SessionMiddleware):
    """Who is logged in; read when somebody asks."""

    def waits(self, request: HttpRequest) -> bool:
        return request.session.modified


class Common(OnTheLoop, CommonMiddleware):
    """Host and length."""


class Csrf(OnTheLoop, CsrfViewMiddleware):
    """Forms are our own pages'."""

    async def process_view(  # type: ignore[override]
        self, request: HttpRequest, callback: Callable[..., Any], args: Any, kwargs: Any
    ) -> HttpResponseBase | None:
        if getattr(callback, "csrf_exempt", False):
            return None
        check = sync_to_async(super().process_view)
        answer: HttpResponseBase | None = await check(request, callback, args, kwargs)
        return answer


class Authentication(OnTheLoop, AuthenticationMiddleware):
    """``request.user``; looked up when somebody asks."""


class Messages(OnTheLoop, MessageMiddleware):
    """What a page says once; kept in the session where a cookie has no room."""

    def waits(self, request: HttpRequest) -> bool:
        messages = request._messages  # type: ignore[attr-defined]
        return bool(messages.used or messages.added_new)


class FrameOptions(OnTheLoop, XFrameOptionsMiddleware):
    """No page of ours in a foreign frame."""
