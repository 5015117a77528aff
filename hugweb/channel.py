"""One connection as Twisted sees it, with what Twisted leaves out: a word to whoever does not speak HTTP, or
takes too long to, and a bound on how many there are.

What cannot be taken for a request gets a status and a body all the same, in the shape of the dialect if
its first line could be read, and the connection ends. Knows nothing of requests that are well.
"""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import unquote

from daphne.http_protocol import HTTPFactory
from django.conf import settings
from django.http import HttpResponse
from twisted.web.http import HTTPChannel
from twisted.web.http_headers import Headers as RequestHeaders

from hugweb.api.shape import error_response
from hugweb.connections import Connections
from hugweb.origins import Headers
from hugweb.request import Request
from hugweb.unguarded import id_headers, unguarded_headers, values_of
from inference.errors import Busy, InferenceError, InvalidRequest, TooLarge, TooSlow
from inference.request_id import HEADER, id_for, identified

# Within this time the headers of a request have to be here.
HEADERS_SECONDS = 30.0
# Digits of a body's length: more of them are more than anything takes.
LONGEST_LENGTH = 18
_ABSOLUTE = re.compile(rb"(?i:https?)://(?P<host>[^/?#]*)(?P<path>/.*)?", re.DOTALL)
# What of a first line is its path, as far as it can be told.
_PATH = re.compile(rb"^\S+ (/[^?# ]*)")


class LongAddress(InvalidRequest):
    """The first line of a request is over its limit."""

    status = 414


class LongHeaders(InvalidRequest):
    """The headers of a request are over their limits."""

    status = 431


class Channel(HTTPChannel):
    """Twisted's connection."""

    _path: bytes
    _command: bytes
    # The first line of the request that is arriving, and when its first byte came; 0 before that.
    _opening = b""
    _began = 0.0

    @property
    def _others(self) -> Connections:
        others: Connections = self.factory.server.clients
        return others

    def connectionMade(self) -> None:
        super().connectionMade()
        if not self._others.enter(self):
            self._end(Busy())

    def connectionLost(self, reason: Any) -> None:
        self._others.leave(self)
        super().connectionLost(reason)

    def give_way(self) -> None:
        """End: another one has come."""
        self.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        if not self._handlingRequest:
            self._began = self._began or time.monotonic()
        super().dataReceived(data)

    def requestDone(self, request: Any) -> None:
        self._others.waits(self)
        super().requestDone(request)

    def check_timeouts(self) -> None:
        """Called every two seconds while no request is here. Nobody takes long to say what is asked."""
        if self._began and time.monotonic() - self._began > HEADERS_SECONDS:
            self._began = 0.0
            self._end(TooSlow())

    def lineReceived(self, line: bytes) -> None:
        if not hasattr(self, "_path"):
            self._opening = line
        super().lineReceived(line)

    def allHeadersReceived(self) -> None:
        """A request may name its whole address, as to a proxy: then that says which host it is for."""
        if absolute := _ABSOLUTE.fullmatch(self._path):
            self.requests[-1].requestHeaders.setRawHeaders(b"Host", [absolute["host"]])
            self._path = absolute["path"] or b"/"
        self._began = 0.0
        self._others.asks(self)
        # Django takes `post` for POST; whoever stands before it has to see the same.
        self._command = self._command.upper()
        super().allHeadersReceived()

    def lineLengthExceeded(self, line: bytes) -> None:
        """A line that is too long: the first one is the address."""
        if hasattr(self, "_path"):
            self._end(LongHeaders("A header of the request is too long."))
        else:
            self._opening = line
            self._end(LongAddress("The address is too long."))

    def _respondToBadRequestAndDisconnect(self) -> None:
        if self._receivedHeaderSize > self.totalHeadersSize or self._receivedHeaderCount > self.maxHeaders:
            self._end(LongHeaders("The request has too many or too long headers."))
        else:
            self._end(InvalidRequest("This is not a request of HTTP/1.1."))

    def _maybeChooseTransferDecoder(self, header: bytes, data: bytes) -> bool:
        # Twisted reads a number of any length.
        if header == b"Content-Length" and data.isdigit() and len(data) > LONGEST_LENGTH:
            self._end(TooLarge(f"At most {settings.MAX_BODY} bytes are taken."))
            return False
        chosen: bool = super()._maybeChooseTransferDecoder(header, data)
        return chosen

    def _end(self, error: InferenceError) -> None:
        """Answer with ``error``, unless an answer is under way, and hang up."""
        if not (self.requests and self.requests[-1].startedWriting):
            given = self.requests[-1].requestHeaders if self.requests else RequestHeaders()
            found = _PATH.search(self._opening)
            path = unquote(found[1].decode("latin-1")) if found else ""
            with identified(id := id_for(values_of(given, HEADER))):
                response = error_response(path, error)
            headers = [*id_headers(path, id), *unguarded_headers(path, given)]
            self.transport.write(_written(response, headers))
        self.loseConnection()


def _written(response: HttpResponse, headers: Headers) -> bytes:
    """``response`` as it goes over the line, with further ``headers``."""
    response["Connection"] = "close"
    response["Content-Length"] = str(len(response.content))
    lines = [
        f"HTTP/1.1 {response.status_code} {response.reason_phrase}",
        *(f"{name}: {value}" for name, value in response.items()),
        *(f"{name.decode()}: {value.decode('latin-1')}" for name, value in headers),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + response.content


class Factory(HTTPFactory):
    """Makes our connections and requests, and leaves out Twisted's access log."""

    protocol = Channel

    def buildProtocol(self, addr: Any) -> Any:
        protocol = super().buildProtocol(addr)
        protocol.requestFactory = Request
        return protocol

    def log(self, request: Any) -> None:
        """Nobody reads it, and writing it takes time."""
