"""A websocket as Daphne sees it, with what Daphne leaves out: who writes waits for who reads.

Knows nothing of what is said over it.
"""

from __future__ import annotations

import logging
from typing import Any

from daphne.ws_protocol import WebSocketProtocol
from django.conf import settings

from hugweb.flow import Flow

logger = logging.getLogger(__name__)


class Socket(WebSocketProtocol):
    """Daphne's websocket."""

    def makeConnection(self, transport: Any) -> None:
        """Take over ``transport`` from the request that asked for the websocket."""
        self._flow = Flow(transport)
        transport.unregisterProducer()
        transport.registerProducer(self._flow, True)
        super().makeConnection(transport)

    async def ready(self) -> None:
        """Returns when the client has room for more."""
        await self._flow.ready()

    def check_timeouts(self) -> None:
        """Called every two seconds. A page answers pings as long as it reads; others need not."""
        super().check_timeouts()
        if self._flow.stalled() > settings.SEND_SECONDS:
            logger.warning(
                "A websocket of %s took nothing for %.0f s: it has been closed.",
                self.path.decode("ascii", "replace"),
                settings.SEND_SECONDS,
            )
            self.transport.abortConnection()
