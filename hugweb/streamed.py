"""Bodies that are read as they arrive: files for ``/api/blobs/``, which no memory would hold.

Django takes a request when all of it is here, kept in a file of its own. An upload it is given at once,
with an empty body; the view reads what really comes from ``BODY`` in the request's scope. Everything
around a view, from the guard to the drain, is as it is for other requests.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

from hugweb.asgi_types import Application, Message, Receive, Scope, Send
from inference.errors import InvalidRequest

BODY = "hugweb.body"
_UPLOAD = re.compile(rb"/api/blobs/sha256(?::|%3[aA]|-)[0-9a-f]{64}")


def is_upload(method: bytes, path: bytes) -> bool:
    """Whether a request with this method and raw path, without its query, uploads a file."""
    return method == b"POST" and _UPLOAD.fullmatch(path) is not None


def streamed(app: Application) -> Application:
    """``app``, which finds the ``Body`` of an upload in its scope."""

    async def streaming(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and is_upload(scope["method"].encode(), scope["raw_path"]):
            body = Body(receive)
            await app({**scope, BODY: body}, body.absent, send)
        else:
            await app(scope, receive, send)

    return streaming


class Body:
    """What a client sends, piece by piece, each once."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._left = asyncio.Event()
        self._told = False

    async def pieces(self) -> AsyncIterator[bytes]:
        """The pieces in their order; ``InvalidRequest`` if the client leaves before the last."""
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._left.set()
                raise InvalidRequest("The upload broke off. Send the file again.")
            yield message.get("body", b"")
            if not message.get("more_body"):
                return

    async def absent(self) -> Message:
        """What Django receives: an empty body, and that the client has left when that is known."""
        if not self._told:
            self._told = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}
