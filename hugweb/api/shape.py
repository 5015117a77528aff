"""Errors in the shape of the dialect that a path belongs to.

The one place that knows which path speaks which dialect and how each writes an error: as a
response, and inside a stream that has begun. Knows nothing of what the dialects do otherwise.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any, Literal

from django.http import HttpResponse, JsonResponse

from hugweb.asgi_types import Send
from inference.errors import InferenceError
from inference.request_id import id_for, request_id

Dialect = Literal["ollama", "openai", "anthropic", "rest"]

# As all other answers are, and Ollama's.
_COMPACT: dict[str, Any] = {"separators": (",", ":")}
_OPENAI_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
# Those of our codes that clients act on, by OpenAI's names.
_OPENAI_CODES = {
    "model_not_found": "model_not_found",
    "context_overflow": "context_length_exceeded",
    "unauthorized": "invalid_api_key",
    "unsupported": "unsupported_value",
    "quota_used": "insufficient_quota",
}
_ANTHROPIC_TYPES = _OPENAI_TYPES | {
    408: "timeout_error",
    413: "request_too_large",
    503: "overloaded_error",
    504: "timeout_error",
}
# What else clients act on: theirs begins with a thread, and goes on without where it is told so.
_ANTHROPIC_DETAILS: dict[str, dict[str, Any]] = {
    "no_threads": {"details": {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}}
}


def dialect_of(path: str) -> Dialect | None:
    """The dialect whose API ``path`` belongs to; None for pages, files and health."""
    match path.split("/")[1:3]:
        case ["v1", "messages"]:
            return "anthropic"
        case ["v1", *_]:
            return "openai"
        case ["api", *_] | [""]:
            return "ollama"
        case ["rest", "docs"]:
            return None
        case ["rest", *_] | ["graphql", *_] | ["stream-message", *_]:
            return "rest"
    return None


def speaks_json(path: str) -> bool:
    """Whether programs ask ``path``: the APIs, and those who look after a server."""
    return dialect_of(path) is not None or path.split("/")[1:2] == ["health"]


def wants_page(accept: str) -> bool:
    """Whether a request comes from a browser: API clients do not ask for HTML by name."""
    return "text/html" in accept


def error_body(path: str, error: InferenceError) -> dict[str, Any]:
    """``error`` as the dialect of ``path`` writes it."""
    match dialect_of(path):
        case "openai":
            kind = _type_of(error, _OPENAI_TYPES)
            code = _OPENAI_CODES.get(error.code)
            return {"error": {"message": error.message, "type": kind, "param": error.param, "code": code}}
        case "anthropic":
            detail: dict[str, Any] = {"type": _type_of(error, _ANTHROPIC_TYPES), "message": error.message}
            detail |= _ANTHROPIC_DETAILS.get(error.code, {})
            return {"type": "error", "error": detail, "request_id": request_id() or id_for(())}
        case "rest":
            return {"error": {"code": error.code, "message": error.message, "param": error.param}}
    return {"error": error.message}


def _type_of(error: InferenceError, types: dict[int, str]) -> str:
    fallback = "invalid_request_error" if error.status < 500 else "api_error"
    return types.get(error.status, fallback)


def error_response(path: str, error: InferenceError) -> HttpResponse:
    """The response to a request for ``path`` that failed: JSON where programs ask, else plain text."""
    response: HttpResponse
    if speaks_json(path):
        response = JsonResponse(error_body(path, error), status=error.status, json_dumps_params=_COMPACT)
    else:
        response = HttpResponse(error.message, status=error.status, content_type="text/plain; charset=utf-8")
    if error.retryable and error.status in {429, 503}:
        response["Retry-After"] = str(error.wait)
    if error.status == 401:
        response["WWW-Authenticate"] = "Bearer"
    response["X-Content-Type-Options"] = "nosniff"
    return response


def error_frame(path: str, error: InferenceError) -> bytes:
    """``error`` as the last piece of a stream whose status has been sent."""
    body = json.dumps(error_body(path, error), **_COMPACT).encode()
    match dialect_of(path):
        case "openai":
            return b"data: " + body + b"\n\n"
        case "anthropic" | "rest":
            return b"event: error\ndata: " + body + b"\n\n"
    return body + b"\n"


async def respond(send: Send, response: HttpResponse) -> None:
    """Send ``response`` from outside of Django."""
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in response.items()]
    if response.status_code != HTTPStatus.NO_CONTENT:
        headers.append((b"content-length", str(len(response.content)).encode()))
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": response.content})
