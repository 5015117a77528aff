"""Answers that tell how far a job is: one JSON object a line, or only the last of them.

Used wherever Ollama's API streams objects with ``status``: pull, create.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

import msgspec
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse

from hugweb.api.ollama.frames import Frame
from hugweb.api.responses import NDJSON, json_response
from hugweb.api.shape import error_frame
from inference.errors import InferenceError

Statuses = AsyncGenerator[Frame, None]


async def status_response(request: HttpRequest, statuses: Statuses, *, stream: bool) -> HttpResponseBase:
    """``statuses`` as a stream, or their last. What is raised before the first is raised here."""
    first = await anext(statuses)
    if stream:
        lines = _lines(request.path, first, statuses)
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        return StreamingHttpResponse(lines, content_type=NDJSON, headers=headers)
    async with contextlib.aclosing(statuses):
        frames = [first, *[frame async for frame in statuses]]
    return json_response(frames[-1])


async def _lines(path: str, first: Frame, rest: Statuses) -> AsyncGenerator[bytes, None]:
    try:
        async with contextlib.aclosing(rest):
            yield msgspec.json.encode(first) + b"\n"
            async for frame in rest:
                yield msgspec.json.encode(frame) + b"\n"
    except InferenceError as error:
        yield error_frame(path, error)
