"""How answers are sent: one JSON object, or a stream of frames that ends with an error if it must."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any

import msgspec
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

from hugweb.api.generation import Answer, Content
from hugweb.api.shape import error_frame
from inference.errors import InferenceError

NDJSON = "application/x-ndjson"
EVENT_STREAM = "text/event-stream; charset=utf-8"

Writer = Callable[[Content], Iterable[bytes]]


def json_response(body: Any) -> HttpResponse:
    """``body`` as JSON."""
    return HttpResponse(msgspec.json.encode(body), content_type="application/json; charset=utf-8")


def stream_response(
    request: HttpRequest, answer: Answer, write: Writer, content_type: str
) -> StreamingHttpResponse:
    """``answer`` as the frames that ``write`` makes of each event.

    ``answer`` has begun; an error from here on is the last frame, in the shape of the request's dialect.
    """
    return StreamingHttpResponse(
        _frames(request.path, answer, write),
        content_type=content_type,
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


async def _frames(path: str, answer: Answer, write: Writer) -> AsyncGenerator[bytes, None]:
    try:
        async with contextlib.aclosing(answer):
            async for event in answer:
                for frame in write(event):
                    yield frame
    except InferenceError as error:
        yield error_frame(path, error)
