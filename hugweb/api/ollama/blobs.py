"""``/api/blobs/sha256:…``: files for ``/api/create``."""

from __future__ import annotations

import asyncio
from functools import partial

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from msgspec import Struct

from hugweb.api.described import BYTES, Operation
from hugweb.api.endpoint import endpoint
from hugweb.api.fields import BlobName
from inference.store.blobs import blob_find, blob_write

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
        return HttpResponse(status=200)
    created = await asyncio.to_thread(_write, request, digest)
    return HttpResponse(status=201 if created else 200)


def _write(request: HttpRequest, digest: str) -> bool:
    length = request.headers.get("Content-Length", "")
    chunks = iter(partial(request.read, CHUNK), b"")
    return blob_write(digest=digest, chunks=chunks, size=int(length) if length.isdigit() else 0)
