"""How answers are sent: one JSON object, or a stream of frames that ends with an error if it must."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any, TypeVar

import msgspec
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

from hugweb.api.shape import error_frame
from inference.errors import InferenceError

NDJSON = "application/x-ndjson"
EVENT_STREAM = "text/event-stream; charset=utf-8"

E = TypeVar("E")
Writer = Callable[[E], Iterable[bytes]]
ErrorWriter = Callable[[InferenceError], Iterable[bytes]]


def json_response(body: Any) -> HttpResponse:
    """``body`` as JSON."""
    return HttpResponse(msgspec.json.encode(body), content_type="application/json; charset=utf-8")


def empty_response(status: int = 200) -> HttpResponse:
    """No body, and so no word of what it is: Django would call it HTML."""
    response = HttpResponse(status=status)
    del response["Content-Type"]
    return response


def stream_response(
    request: HttpRequest,
    answer: AsyncGenerator[E, None],
    write: Writer[E],
    content_type: str,
    write_error: ErrorWriter | None = None,
) -> StreamingHttpResponse:
    """``answer`` as the frames that ``write`` makes of each event.

    ``answer`` has begun; an error from here on is the last frame, in the shape of the request's
    dialect unless the endpoint has one of its own, ``write_error``.
    """
    return StreamingHttpResponse(
        _frames(answer, write, write_error or (lambda error: [error_frame(request.path, error)])),
        content_type=content_type,
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


async def _frames(
    answer: AsyncGenerator[E, None], write: Writer[E], write_error: ErrorWriter
) -> AsyncGenerator[bytes, None]:
    try:
        async with contextlib.aclosing(answer):
            async for event in answer:
                for frame in write(event):
                    yield frame
    except InferenceError as error:
        for frame in write_error(error):
            yield frame
