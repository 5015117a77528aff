"""What makes a function a view of an API, whatever the dialect.

The views are asynchronous so that a client that leaves cancels its generation: Django cancels the
view's task, which closes the provider's stream, and the engine stops within a token.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from hugweb.api.remarks import remarks
from hugweb.api.shape import error_response
from inference.errors import InferenceError, MethodNotAllowed

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], Coroutine[Any, Any, HttpResponseBase]]


def endpoint(*methods: str) -> Callable[[View[P]], View[P]]:
    """A view of an API: open to other programs, for these methods, its errors in its dialect's shape."""

    def decorate(view: View[P]) -> View[P]:
        @csrf_exempt
        @wraps(view)
        async def guarded(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            try:
                if request.method not in methods:
                    raise MethodNotAllowed("405 method not allowed")
                with remarks() as headers:
                    response = await view(request, *args, **kwargs)
            except InferenceError as error:
                response = error_response(request.path, error)
                if response.status_code == MethodNotAllowed.status:
                    response["Allow"] = ", ".join(methods)
                return response
            for name, value in headers.items():
                response[name] = value
            return response

        guarded.methods = methods  # type: ignore[attr-defined]
        return guarded

    return decorate
