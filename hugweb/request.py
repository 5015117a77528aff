"""One HTTP request as Daphne sees it, with what Daphne leaves out: a limit and a deadline.

A body that is too long is refused as soon as that is known, and never kept. An upload
(``hugweb.streamed``) has a limit of its own, and is passed on while it arrives, no faster than it is
taken. So is an answer: who writes it waits for its client (``hugweb.flow``), and one that takes nothing
for too long is left. Errors below Django are written in the shape of the dialect that was asked. Knows
nothing of what requests are for.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable
from io import BytesIO
from typing import Any
from urllib.parse import unquote

from daphne.http_protocol import WebRequest
from django.conf import settings
from django.http import HttpResponse
from twisted.internet import reactor

from hugweb.api.admission import KEY_HEADERS, most_bytes
from hugweb.api.shape import dialect_of, error_response
from hugweb.flow import Flow
from hugweb.streamed import is_upload as is_upload_of
from hugweb.unguarded import id_headers, unguarded_headers, values_of
from inference.errors import InferenceError, InvalidRequest, TooLarge, TooSlow
from inference.request_id import HEADER, id_for, identified

logger = logging.getLogger(__name__)

# Within this time a request has to be here as a whole: enough for the largest body on a slow line.
REQUEST_SECONDS = 120.0
# Bytes a second that an upload, which may take longer, has to come with by then.
SLOWEST_UPLOAD = 1024
# A body up to this size is taken before anybody asks how much its key may send, as one read may bring it.
KEPT_UNASKED = 2**16
# A client that is still sending reads the answer only if the connection stays open for a moment.
LINGER_SECONDS = 1.0
# Of an upload, pieces of up to 64 KiB wait here while those before them are written; then the client waits.
MOST_PIECES = 64
PAUSE_SECONDS = 0.005


# Codings that make another body of one; some clients call a charset so, which changes nothing.
COMPRESSIONS = {"gzip", "x-gzip", "deflate", "br", "zstd", "compress"}


class Compressed(InvalidRequest):
    """The body of a request is compressed."""

    status = 415

    def __init__(self) -> None:
        super().__init__(
            "Compressed requests are not taken. Send the body as it is, without Content-Encoding."
        )


class Request(WebRequest):
    """Daphne's request, and the websocket's handshake."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Twisted would take forms apart, field by field, before anybody has asked for that.
        self._parsePOSTFormSubmission = False
        self._began = time.monotonic()
        self._received = 0
        self._refused = False
        self._complete = False
        self._is_upload = False
        self._paused = False
        self._flow: Flow | None = None
        self._too_large: TooLarge | None = None
        self._arrived = self._began
        self.id = ""

    def gotLength(self, length: int | None) -> None:
        """The headers are here; ``length`` is the body's, None when it comes in chunks."""
        # Daphne lets any client say which part of the path is not Django's to see; the guard and
        # Django would then see two different paths.
        self.requestHeaders.removeHeader(b"Daphne-Root-Path")
        self.id = id_for(values_of(self.requestHeaders, HEADER))
        command, path, version = self.channel._command, self.channel._path, self.channel._version
        is_upload = is_upload_of(command, path.split(b"?", 1)[0]) and not self.requestHeaders.hasHeader(
            "Upgrade"
        )
        self._most = settings.MAX_BLOB if is_upload else settings.MAX_BODY
        refused = self._refusal(length, path, is_upload=is_upload)
        super().gotLength(0 if refused or is_upload else length)
        if refused:
            self._refuse(refused)
        elif is_upload:
            self._begin_upload(command, path, version)
        elif length is None or length > KEPT_UNASKED:
            self._ask_key(length)

    def _refusal(self, length: int | None, path: bytes, *, is_upload: bool) -> InferenceError | None:
        """What is wrong with a body that is about to come, as far as its headers tell."""
        if length is not None and length > self._most:
            return self._size_error()
        coded = ",".join(values_of(self.requestHeaders, "Content-Encoding")).lower().split(",")
        is_compressed = not COMPRESSIONS.isdisjoint(coding.strip() for coding in coded)
        is_api = dialect_of(_decoded(path.split(b"?", 1)[0])) is not None
        return Compressed() if is_compressed and length != 0 and is_api and not is_upload else None

    def _ask_key(self, length: int | None) -> None:
        """Take nothing more of a large body until it is known how much the key that came may send."""
        given = self.requestHeaders.getAllRawHeaders()
        headers = [(name.lower(), value) for name, values in given for value in values]
        expects = any(name == b"expect" and value.lower() == b"100-continue" for name, value in headers)
        if KEY_HEADERS.isdisjoint(name for name, _ in headers):
            return
        self.channel._networkProducer.pauseProducing()
        # Nor is anybody told to go on before that.
        self.requestHeaders.removeHeader(b"Expect")
        path = _decoded(self.channel._path.split(b"?", 1)[0])
        self._asking = asyncio.ensure_future(self._limit(most_bytes(headers, path), length, expects))

    async def _limit(self, asked: Awaitable[int | None], length: int | None, expects: bool) -> None:
        """Hold the body to what is ``asked``, and have the rest of it come, if it may."""
        most = await asked
        if self.channel is None or self._disconnected:
            return
        if not self._complete and most is not None and most < self._most:
            self._most, self._too_large = most, TooLarge.of_key(most)
            if max(length or 0, self._received) > most:
                self._refuse(self._too_large)
        if expects and not self._complete and not self._refused:
            self.channel._send100Continue()
        if not self.channel._waitingForTransport:
            self.channel._networkProducer.resumeProducing()

    def _begin_upload(self, command: bytes, path: bytes, version: bytes) -> None:
        """Start the application now, and without the end that Daphne takes an empty body for."""
        self._is_upload = True
        super().requestReceived(command, path, version)
        if self.application_queue:
            self.application_queue.get_nowait()

    def handleContentChunk(self, data: bytes) -> None:
        self._received += len(data)
        self._arrived = time.monotonic()
        if self._received > self._most and not self._refused and not self._is_upload:
            self._refuse(self._size_error())
        if self._refused:
            return
        if self._is_upload:
            self._pass_on(data, last=False)
        else:
            super().handleContentChunk(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        self._complete = True
        if self._refused:
            self._hang_up()
        elif self._is_upload:
            self._pass_on(b"", last=True)
        else:
            # What came in chunks has a length too now, without which Django's forms and our own API would
            # take it for empty.
            self.requestHeaders.setRawHeaders(b"content-length", [b"%d" % self._received])
            super().requestReceived(command, path, version)

    def _pass_on(self, data: bytes, *, last: bool) -> None:
        """Hand on a piece of an upload. One that is longer than it may be is its reader's to refuse."""
        if self.application_queue is None:
            return
        self.application_queue.put_nowait({"type": "http.request", "body": data, "more_body": not last})
        if not self._paused and not last and self.application_queue.qsize() > MOST_PIECES:
            self._paused = True
            self.channel._networkProducer.pauseProducing()
            self._resume_later()

    def _resume_later(self) -> None:
        reactor.callLater(PAUSE_SECONDS, self._resume)

    def _resume(self) -> None:
        if self.channel is None or self._disconnected:
            return
        if not self._refused and self.application_queue.qsize() > MOST_PIECES // 2:
            self._resume_later()
        else:
            self._paused = False
            self.channel._networkProducer.resumeProducing()

    def handle_reply(self, message: dict[str, Any]) -> None:
        """What the application answers. To an upload that is still coming, that ends the connection."""
        self._watch()
        if message["type"] == "http.response.start":
            message = {
                **message,
                "headers": [*message.get("headers", ()), *id_headers(self._clean_path(), self.id)],
            }
        elif self.method == b"HEAD":
            # Twisted leaves out the first piece only.
            message = {**message, "body": b""}
        if not self._is_upload or self._complete or self.channel is None:
            super().handle_reply(message)
        elif message["type"] == "http.response.start":
            self._refused = True
            self.channel.persistent = False
            super().handle_reply({**message, "headers": [*message["headers"], (b"Connection", b"close")]})
        else:
            last = not message.get("more_body", False)
            super().handle_reply({**message, "more_body": True})
            if last:
                reactor.callLater(LINGER_SECONDS, self._hang_up)

    async def ready(self) -> None:
        """Returns when the client has room for more of its answer."""
        if self._flow:
            await self._flow.ready()

    def _watch(self) -> None:
        """Have the connection say how its client keeps up, from the first word of the answer on."""
        if self._flow or self.channel is None:
            return
        self._flow = Flow(self.channel.transport)
        self.registerProducer(self._flow, True)
        if self.channel._waitingForTransport:
            self._flow.pauseProducing()

    def finish(self) -> None:
        """All is written. What is left to be sent goes out by itself, or the connection is ended in time."""
        channel = self.channel
        if self.producer:
            self.unregisterProducer()
        if self._flow:
            self._flow.stopProducing()
        super().finish()
        if channel and not channel.persistent:
            channel.abortTimeout = LINGER_SECONDS
            channel.setTimeout(settings.SEND_SECONDS)

    def connectionLost(self, reason: Any) -> None:
        if self._flow:
            self._flow.stopProducing()
        super().connectionLost(reason)

    def _size_error(self) -> TooLarge:
        return self._too_large or TooLarge(f"At most {self._most} bytes are taken.")

    def _refuse(self, error: InferenceError) -> None:
        """Answer with ``error`` at once, and let what is still being sent go by."""
        self._refused = True
        self.content.close()
        self.content: Any = BytesIO()
        self.requestHeaders.removeHeader(b"Expect")
        self.method, self.uri = self.channel._command, self.channel._path
        self.clientproto = self.channel._version
        self.path = self.uri.split(b"?", 1)[0]
        self.channel.persistent = False
        response = self._error_response(error)
        response["Connection"] = "close"
        self._answer(response, last=False)
        reactor.callLater(LINGER_SECONDS, self._hang_up)

    def _hang_up(self) -> None:
        if not self.finished and not self._disconnected:
            self.finish()

    def basic_error(self, status: int, status_text: bytes, body: str) -> None:
        """Daphne's own errors: requests that are not HTTP, and failures below Django."""
        error = InvalidRequest(f"{body}.") if status == 400 else InferenceError()
        self._answer(self._error_response(error))

    def handle_exception(self, exception: Exception) -> None:
        """The application failed. An answer that has begun is cut, so that it does not look whole."""
        if self._response_started:
            self.loseConnection()
        else:
            super().handle_exception(exception)

    def check_timeouts(self) -> None:
        """Called every two seconds."""
        with identified(self.id):
            self._check_times()

    def _check_times(self) -> None:
        if self._is_late() and self.channel is not None:
            if self._response_started:
                self.channel.forceAbortClient()
            else:
                self._refuse(TooSlow())
        elif self._flow and self._flow.stalled() > settings.SEND_SECONDS and self.channel is not None:
            logger.warning(
                "A client took nothing of its answer to %s for %.0f s: its request has been ended.",
                self._clean_path(),
                settings.SEND_SECONDS,
            )
            self.channel.transport.abortConnection()

    def _is_late(self) -> bool:
        """Whether the body should be here by now. An upload may take as long as it comes at a pace."""
        if self._complete or not self.id:
            return False
        now = time.monotonic()
        if not self._is_upload:
            return now - self._began > REQUEST_SECONDS
        taken = now - self._began - self._received / SLOWEST_UPLOAD
        return max(taken, now - self._arrived) > REQUEST_SECONDS

    def _error_response(self, error: InferenceError) -> HttpResponse:
        with identified(self.id):
            return error_response(self._clean_path(), error)

    def _clean_path(self) -> str:
        return _decoded(self.path or b"/")

    def _answer(self, response: HttpResponse, *, last: bool = True) -> None:
        headers = [(name.encode(), value.encode("latin-1")) for name, value in response.items()]
        headers += unguarded_headers(self._clean_path(), self.requestHeaders)
        headers.append((b"Content-Length", str(len(response.content)).encode()))
        self.handle_reply({"type": "http.response.start", "status": response.status_code, "headers": headers})
        self.handle_reply({"type": "http.response.body", "body": response.content, "more_body": not last})


def _decoded(path: bytes) -> str:
    return unquote(path.decode("ascii", "replace"))
