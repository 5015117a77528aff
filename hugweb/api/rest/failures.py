"""Every error of our own API in one form, whoever raised it."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from rest_framework.exceptions import APIException, ValidationError

from hugweb.api.shape import error_response
from inference.errors import (
    Forbidden,
    InferenceError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    Unauthorized,
)

_KINDS: dict[int, type[InferenceError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: MethodNotAllowed,
}


def answer(error: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """The response to ``error``; None for what is a fault of ours, which Django logs and answers."""
    known = _of_the_tree(error)
    return error_response(context["request"].path, known) if known else None


def _of_the_tree(error: Exception) -> InferenceError | None:
    match error:
        case InferenceError():
            return error
        case Http404():
            return NotFound("There is no such thing.")
        case PermissionDenied():
            return Forbidden("Your account may not do that.")
        case ValidationError():
            param, text = _first(error.detail)
            return InvalidRequest(f"{param}: {text}" if param else text, param=param or None)
        case APIException():
            found = _KINDS.get(error.status_code, InvalidRequest)(str(error.detail))
            found.status = error.status_code
            return found
    return None


def _first(detail: Any, path: str = "") -> tuple[str, str]:
    """The first complaint of a serializer, and the field it is about."""
    if isinstance(detail, dict) and detail:
        name, inner = next(iter(detail.items()))
        below = path if name == "non_field_errors" else f"{path}.{name}".lstrip(".")
        return _first(inner, below)
    if isinstance(detail, list) and detail:
        return _first(next(filter(None, detail), ""), path)
    return path, str(detail)
