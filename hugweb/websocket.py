"""A websocket as Daphne sees it, with what Daphne leaves out: an id, and who writes waits for who reads.

Knows nothing of what is said over it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from autobahn.websocket.types import ConnectionDeny
from daphne.ws_protocol import WebSocketProtocol
from django.conf import settings

from hugweb.flow import Flow
from inference.request_id import HEADER, id_for, identified

logger = logging.getLogger(__name__)


class Socket(WebSocketProtocol):
    """Daphne's websocket."""

    def makeConnection(self, transport: Any) -> None:
        """Take over ``transport`` from the request that asked for the websocket."""
        self.id = id_for(())
        self._flow = Flow(transport)
        transport.unregisterProducer()
        transport.registerProducer(self._flow, True)
        super().makeConnection(transport)

    def onConnect(self, request: Any) -> Any:
        """The headers of the handshake are here."""
        brought = request.headers.get(HEADER.lower())
        self.id = id_for((brought,) if brought else ())
        if not request.headers.get("sec-websocket-protocol", "").isascii():
            raise ConnectionDeny(ConnectionDeny.BAD_REQUEST, "The subprotocols are not ASCII")
        return super().onConnect(request)

    def connectionLost(self, reason: Any) -> None:
        """As that of the connection that this one was."""
        self.factory.server_class.clients.leave(self)
        super().connectionLost(reason)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """The connection is gone. Daphne knows only those whose handshake was one."""
        if hasattr(self, "server"):
            super().onClose(wasClean, code, reason)

    def serverAccept(self, subprotocol: str | None = None) -> None:
        self.handshake_deferred.callback((subprotocol, {HEADER: self.id}))
        del self.handshake_deferred

    def sendHttpErrorResponse(
        self, code: int, reason: str, responseHeaders: Sequence[tuple[str, str]] | None = None
    ) -> None:
        """The handshake is refused, by us or by the protocol."""
        own = ((HEADER, self.id), ("Content-Length", "0"), ("Connection", "close"))
        told = "Internal Server Error" if code >= 500 else reason
        super().sendHttpErrorResponse(code, told, [*(responseHeaders or ()), *own])

    def dropConnection(self, abort: bool = False) -> None:
        with identified(self.id):  # since that is logged
            super().dropConnection(abort)

    async def ready(self) -> None:
        """Returns when the client has room for more."""
        await self._flow.ready()

    def check_timeouts(self) -> None:
        """Called every two seconds. A page answers pings as long as it reads; others need not."""
        super().check_timeouts()
        if self._flow.stalled() > settings.SEND_SECONDS:
            with identified(self.id):
                logger.warning(
                    "A websocket of %s took nothing for %.0f s: it has been closed.",
                    self.path.decode("ascii", "replace"),
                    settings.SEND_SECONDS,
                )
            self.transport.abortConnection()
