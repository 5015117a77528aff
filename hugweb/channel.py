"""One connection as Twisted sees it, with what Twisted leaves out: a word to whoever does not speak HTTP.

What cannot be taken for a request gets a status and a body all the same, in the shape of the dialect if
its first line could be read, and the connection ends. Knows nothing of requests that are well.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from daphne.http_protocol import HTTPFactory
from django.http import HttpResponse
from twisted.web.http import HTTPChannel

from hugweb.api.shape import error_response
from hugweb.request import Request
from inference.errors import InferenceError, InvalidRequest
from inference.request_id import HEADER, id_for, identified

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
    # The first line of the request that is arriving.
    _opening = b""

    def lineReceived(self, line: bytes) -> None:
        if not hasattr(self, "_path"):
            self._opening = line
        super().lineReceived(line)

    def allHeadersReceived(self) -> None:
        """A request may name its whole address, as to a proxy: then that says which host it is for."""
        if absolute := _ABSOLUTE.fullmatch(self._path):
            self.requests[-1].requestHeaders.setRawHeaders(b"Host", [absolute["host"]])
            self._path = absolute["path"] or b"/"
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

    def _end(self, error: InferenceError) -> None:
        """Answer with ``error``, unless an answer is under way, and hang up."""
        if not (self.requests and self.requests[-1].startedWriting):
            path = _PATH.search(self._opening)
            with identified(id := id_for(())):
                response = error_response(unquote(path[1].decode("latin-1")) if path else "", error)
            response[HEADER] = id
            self.transport.write(_written(response))
        self.loseConnection()


def _written(response: HttpResponse) -> bytes:
    """``response`` as it goes over the line."""
    response["Connection"] = "close"
    response["Content-Length"] = str(len(response.content))
    lines = [
        f"HTTP/1.1 {response.status_code} {response.reason_phrase}",
        *(f"{name}: {value}" for name, value in response.items()),
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
