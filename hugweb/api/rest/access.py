"""Who asks over our own API, and what they may do.

The guard has checked the key, if one came, and that no foreign page brings cookies: so a session
is taken without a CSRF token. Without either, a server that only this machine can reach is open for
what belongs to everybody, as Ollama's API is; what belongs to somebody needs to know to whom.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.csrf import csrf_exempt
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from hugweb.api.shape import error_response
from inference.asker import asker, asking
from inference.errors import Forbidden, InferenceError, Unauthorized

if TYPE_CHECKING:
    from rest_framework.views import APIView

STRANGER = Unauthorized("Log in, or send a key: `Authorization: Bearer …`.")
View = Callable[..., Coroutine[Any, Any, HttpResponseBase]]


def entered(view: Callable[..., Any]) -> View:
    """``view`` for whoever has a key or is logged in, and says so to everything behind it.

    A view of DRF runs in Django's thread for the database, as Django itself would run it.
    """
    run: Callable[..., Any] = view if iscoroutinefunction(view) else sync_to_async(view)

    @csrf_exempt
    @wraps(view)
    async def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            request.user = await _user(request)
            with asking(replace(asker(), source="rest", user=request.user.pk)):
                response: HttpResponseBase = await run(request, *args, **kwargs)
                return response
        except InferenceError as error:
            return error_response(request.path, error)

    return guarded


async def _user(request: HttpRequest) -> User | AnonymousUser:
    """Whose key came, or who is logged in; nobody where nobody has to be."""
    if (pk := asker().user) is not None:
        return await User.objects.aget(pk=pk)
    user = await request.auser()
    if not user.is_authenticated and not settings.ON_LOOPBACK:
        raise STRANGER
    return user


def user_of(request: HttpRequest | Request) -> User:
    """Whose request it is; ``Unauthorized`` where nobody said."""
    if not isinstance(request.user, User):
        raise STRANGER
    return request.user


def check_permission(request: HttpRequest | Request, permission: str) -> None:
    """``Forbidden`` unless whoever asks may do what ``permission`` says: staff that has it."""
    user = request.user
    if isinstance(user, User) and not (user.is_staff and user.has_perm(permission)):
        raise Forbidden("Your account may not do that. Ask whoever manages this server.")


class Entered(BaseAuthentication):
    """Lets DRF know whom ``entered`` has found."""

    def authenticate(self, request: Request) -> tuple[Any, None]:
        return request._request.user, None


class Access(BasePermission):
    """What a view asks for: ``owned`` a user, ``permissions`` one of Django's for each of its actions."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if getattr(view, "owned", False):
            user_of(request)
        action = getattr(view, "action", None)
        if permission := getattr(view, "permissions", {}).get(action):
            check_permission(request, permission)
        return True
