"""``/api/blobs/sha256:…``: files for ``/api/create``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import cast

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponseBase
from msgspec import Struct

from hugweb.api.described import BYTES, Operation
from hugweb.api.endpoint import endpoint
from hugweb.api.fields import BlobName
from hugweb.api.responses import empty_response
from hugweb.streamed import BODY
from inference.store.blobs import BlobDraft, blob_draft, blob_find, blob_has

CHUNK = 2**20


class BlobAddress(Struct):
    """Which file."""

    digest: BlobName


@Operation("Whether a file is here", methods=("HEAD",), parameters=BlobAddress)
@Operation(
    "Send a file for `/api/create`: 201, or 200 if it was here",
    methods=("POST",),
    parameters=BlobAddress,
    takes={BYTES: bytes},
    statuses=(200, 201),
)
@endpoint("HEAD", "POST")
async def blob(request: HttpRequest, digest: str) -> HttpResponseBase:
    """Whether a file is here (200, else 404), or the file itself: 201, or 200 if it was here."""
    if request.method == "HEAD":
        await asyncio.to_thread(blob_find, digest)
        return empty_response()
    created = await _received(request, digest)
    return empty_response(201 if created else 200)


async def _received(request: HttpRequest, digest: str) -> bool:
    """Keep what is being sent; ``False`` where it was here, and goes by unread."""
    is_here = await asyncio.to_thread(blob_has, digest)
    # A name that is a blob's makes a request an upload: its body is there.
    pieces: AsyncIterator[bytes] = cast(ASGIRequest, request).scope[BODY].pieces()
    if is_here:
        async for _ in pieces:
            pass
        return False
    length = request.headers.get("Content-Length", "")
    async with _drafted(digest, int(length) if length.isdigit() else 0) as draft:
        async for chunk in gathered(pieces):
            await asyncio.to_thread(draft.write, chunk)
        await asyncio.to_thread(draft.finish)
    return True


@contextlib.asynccontextmanager
async def _drafted(digest: str, size: int) -> AsyncIterator[BlobDraft]:
    """``blob_draft`` in threads; its folder goes even if the client leaves while it is being made."""
    drafting = blob_draft(digest=digest, size=size)
    entering = asyncio.ensure_future(asyncio.to_thread(drafting.__enter__))
    try:
        yield await asyncio.shield(entering)
    finally:
        await asyncio.wait({entering})
        if not entering.exception():
            await asyncio.to_thread(drafting.__exit__, None, None, None)


async def gathered(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in chunks that are worth a thread's while."""
    waiting, size = [], 0
    async for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= CHUNK:
            yield b"".join(waiting)
            waiting, size = [], 0
    yield b"".join(waiting)
