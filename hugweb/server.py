"""The web process: Daphne in this process, started, drained and stopped our way.

The first SIGTERM or SIGINT drains: what is in flight may finish, for as long as the settings say,
and is then ended with an error that its client can read. The second stops at once. The engine is
stopped in between. Only this module, ``hugweb.request`` and ``hugweb.websocket`` know Daphne and Twisted:
importing them chooses the event loop of the process.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from typing import Any

import daphne.server
from daphne.ws_protocol import WebSocketFactory
from django.conf import settings
from twisted.internet import defer, reactor
from twisted.logger import STDLibLogObserver, globalLogBeginner

from hugweb.asgi_types import Application, Receive, Scope
from hugweb.channel import Factory
from hugweb.connections import Connections, most_connections
from hugweb.drain import Drain
from hugweb.supervise import STOP_SECONDS, EngineSupervisor
from hugweb.websocket import Socket
from inference.request_id import identified

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 2.0
CANCEL_SECONDS = 0.5
# A page hears of its answer's end a moment after the turn is over.
LAST_WORDS_SECONDS = 0.2
POLL_SECONDS = 0.02
GOING_AWAY = 1001


class Server(daphne.server.Server):
    """Serves ``application`` on ``listener`` until it is told to stop."""

    def __init__(
        self,
        application: Application,
        listener: socket.socket,
        drain: Drain,
        engine: EngineSupervisor | None,
        ready: Callable[[], None],
    ) -> None:
        super().__init__(self._run_one, ["adopted"], ready_callable=ready, server_name="HugWeb")
        self._application = application
        self._listener = listener
        self._drain = drain
        self._engine = engine
        self._hurry = asyncio.Event()
        self._stopping: asyncio.Task[None] | None = None

    def run(self) -> None:
        """As Daphne's, with our factory, our socket and our signals."""
        self.connections: dict[Any, dict[str, Any]] = {}
        self.clients = Connections(most_connections(settings.MAX_CONNECTIONS))
        self.http_factory = Factory(self)
        self.ws_factory = self._websockets()
        globalLogBeginner.beginLoggingTo(
            [STDLibLogObserver("daphne")], redirectStandardIO=False, discardBuffer=True
        )
        reactor.adoptStreamPort(self._listener.fileno(), self._listener.family, self.http_factory)
        loop = daphne.server.twisted_loop
        asyncio.set_event_loop(loop)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop)
        reactor.callLater(1, self.application_checker)
        reactor.callLater(2, self.timeout_checker)
        reactor.addSystemEventTrigger("before", "shutdown", self.kill_all_applications)
        reactor.callWhenRunning(self.ready_callable)
        reactor.run(installSignalHandlers=False)

    def _websockets(self) -> WebSocketFactory:
        factory = WebSocketFactory(self, server=self.server_name)
        factory.protocol = Socket
        factory.setProtocolOptions(
            autoPingTimeout=self.ping_timeout,
            allowNullOrigin=True,  # which origins may come is the guard's to say
            openHandshakeTimeout=self.websocket_handshake_timeout,
            maxMessagePayloadSize=self.websocket_max_message_size,
            maxFramePayloadSize=self.websocket_max_frame_size,
        )
        return factory

    def create_application(self, protocol: Any, scope: Any) -> Any:
        """As Daphne's; whatever the application does and logs is done for this request."""
        with identified(protocol.id):
            return super().create_application(protocol, scope)

    async def _run_one(self, scope: Scope, receive: Receive, send: Any) -> None:
        """The application, for one request. A fault of it is told here, where it is known whose it is."""
        try:
            await self._application(scope, receive, send)
        except Exception as error:
            logger.exception("A request failed in a way that nobody foresaw.")
            protocol = send.args[0]
            if not self.connections.get(protocol, {}).get("disconnected"):
                protocol.handle_exception(error)

    def timeout_checker(self) -> None:
        """As Daphne's, and for connections on which no request has come, too."""
        for connection in self.clients.waiting():
            connection.check_timeouts()
        super().timeout_checker()

    async def handle_reply(self, protocol: Any, message: Any) -> None:
        """As Daphne's, but returns when the client has room for more: nobody writes faster than it reads."""
        await super().handle_reply(protocol, message)
        await protocol.ready()

    def _told_to_stop(self) -> None:
        if self._stopping is None:
            self._stopping = asyncio.ensure_future(self._stop())
        else:
            self._hurry.set()
            if self._engine:
                self._engine.kill()

    async def _stop(self) -> None:
        logger.info("Stopping: running answers may finish. A second signal stops at once.")
        try:
            self._drain.begin()
            await _first_of(settings.DRAIN_SECONDS, self._drain.idle(), self._hurry.wait())
            await _first_of(FLUSH_SECONDS, self._drain.cut())
            if self._engine:
                await asyncio.to_thread(self._engine.stop, 0 if self._hurry.is_set() else STOP_SECONDS)
            if self._websockets_left():
                await asyncio.sleep(LAST_WORDS_SECONDS)
            for protocol in self._websockets_left():
                protocol.sendCloseFrame(code=GOING_AWAY)  # sendClose takes no code below 3000
            await _first_of(FLUSH_SECONDS, self._flushed())
        finally:
            reactor.stop()

    def _websockets_left(self) -> list[Socket]:
        """Those that are open, or wait for their client to agree to be closed."""
        return [
            protocol
            for protocol in self.connections
            if isinstance(protocol, Socket)
            and protocol.state in {protocol.STATE_OPEN, protocol.STATE_CLOSING}
        ]

    async def _flushed(self) -> None:
        """Returns when all that was said has been sent and every websocket is closed."""
        await self._drain.idle()
        while reactor.getWriters() or self._websockets_left():  # noqa: ASYNC110 (Twisted only tells)
            await asyncio.sleep(POLL_SECONDS)

    def kill_all_applications(self) -> defer.Deferred[Any]:
        """Daphne's fails when there is a connection that has no application yet, or no longer."""
        running = [
            application
            for details in self.connections.values()
            if (application := details.get("application_instance")) and not application.done()
        ]
        for application in running:
            application.cancel()
        ended = asyncio.wait(running, timeout=CANCEL_SECONDS) if running else asyncio.sleep(0)
        return defer.Deferred.fromFuture(asyncio.ensure_future(ended))


async def _first_of(seconds: float, *awaitables: Any) -> None:
    """Wait for the first of ``awaitables``, at most ``seconds``, and drop the others."""
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
