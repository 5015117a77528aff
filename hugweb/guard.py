"""The gate in front of everything, static files and websockets included.

Refuses requests for a foreign host, from a foreign page, with a key that opens nothing, and, where
the server can be reached from other machines, API requests without a key. Says who asks to
everything behind it. Knows nothing of sessions: whoever passes here on a page's path, or on one of
our own API with a session's cookie, still has to be logged in.
"""

from __future__ import annotations

from django.conf import settings

from hugweb.api.admission import admit, check_size
from hugweb.api.responses import empty_response
from hugweb.api.shape import dialect_of, error_response, respond, wants_page
from hugweb.asgi_types import Application, Message, Receive, Scope, Send
from hugweb.hosts import Hosts
from hugweb.origins import Headers, Origins, answer_headers, preflight_headers
from inference.asker import Asker, asking
from inference.errors import Forbidden, InferenceError, InvalidRequest

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
SESSION = f"{settings.SESSION_COOKIE_NAME}="


class Guard:
    """Passes on what may pass, by the settings at the time it is made."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._on_loopback = settings.ON_LOOPBACK
        self._hosts = Hosts(settings.HOST, on_loopback=self._on_loopback, extra=settings.EXTRA_HOSTS)
        self._origins = Origins(settings.EXTRA_ORIGINS, settings.PUBLIC_ORIGIN)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        foreign = self._foreign_origin(scope)
        send = _adding(send, answer_headers(scope["path"], foreign))
        try:
            self._check_host(scope)
            self._check_origin(scope, foreign)
        except InferenceError as error:
            await _refuse(scope, receive, send, error)
            return
        if foreign:
            scope = _without_cookies(scope)
            if scope["method"] == "OPTIONS":
                private = "true" in _values(scope, b"access-control-request-private-network")
                await respond(_adding(send, preflight_headers(private=private)), empty_response(204))
                return
        try:
            asker = await self._admit(scope)
        except InferenceError as error:
            await _refuse(scope, receive, send, error)
            return
        with asking(asker):
            await self._app(scope, _within(receive, asker.most_bytes), send)

    def _check_host(self, scope: Scope) -> None:
        """Refuse what is for no host of ours."""
        hosts = _values(scope, b"host")
        if len(hosts) != 1:
            raise InvalidRequest("A request needs exactly one Host header.")
        if not self._hosts.allow(hosts[0]):
            raise Forbidden("This host name is not allowed. HUGWEB_ALLOWED_HOSTS can add it.")

    def _foreign_origin(self, scope: Scope) -> str:
        """The other origin that calls the API and may do so; empty when it is our own page, or no page."""
        if scope["type"] != "http" or dialect_of(scope["path"]) is None:
            return ""
        hosts, origins = _values(scope, b"host"), _values(scope, b"origin")
        return self._origins.foreign(origins, scheme=_scheme(scope), hosts=hosts)

    def _check_origin(self, scope: Scope, foreign: str) -> None:
        """Refuse a page that is neither our own nor ``foreign``, unless it cannot do any harm."""
        origins = _values(scope, b"origin")
        safe = scope["type"] == "http" and scope["method"] in SAFE_METHODS
        if foreign or (not origins and (safe or _is_plain_client(scope))):
            return
        origin = origins[0] if len(origins) == 1 else ""
        if self._origins.is_own(origin, scheme=_scheme(scope), hosts=_values(scope, b"host")):
            return
        is_api = scope["type"] == "http" and dialect_of(scope["path"]) is not None
        if is_api or not safe or origin != "null":
            raise Forbidden(
                "Requests from this page are not allowed. OLLAMA_ORIGINS can add it for the API;"
                " HUGWEB_PUBLIC_URL names the address of a proxy for the pages."
            )

    async def _admit(self, scope: Scope) -> Asker:
        """Who asks, as far as the request itself says; pages know more from their session."""
        dialect = dialect_of(scope["path"]) if scope["type"] == "http" else None
        if dialect is None or (scope["path"] == "/" and wants_page(",".join(_values(scope, b"accept")))):
            return Asker(source="page")
        has_login = dialect == "rest" and any(SESSION in cookies for cookies in _values(scope, b"cookie"))
        return await admit(scope, dialect, required=not (self._on_loopback or has_login))


def _without_cookies(scope: Scope) -> Scope:
    """``scope`` of a foreign page, which acts with a key of its own and never as whoever is logged in."""
    return {**scope, "headers": [pair for pair in scope["headers"] if pair[0] != b"cookie"]}


def _is_plain_client(scope: Scope) -> bool:
    """A request without Origin that no browser sent on behalf of a foreign page."""
    return scope["type"] == "http" and "cross-site" not in _values(scope, b"sec-fetch-site")


def _scheme(scope: Scope) -> str:
    """The scheme of the page that a request of our own comes from."""
    return "https" if scope.get("scheme", "ws") in {"https", "wss"} else "http"


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1").strip() for key, value in scope["headers"] if key == name]


def _within(receive: Receive, most: int | None) -> Receive:
    """``receive``, which raises ``TooLarge`` where a body that declared no length is longer than ``most``."""
    if most is None:
        return receive
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        check_size(most, size)
        return message

    return counted


def _adding(send: Send, headers: Headers) -> Send:
    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *headers]}
        await send(message)

    return sender


async def _refuse(scope: Scope, receive: Receive, send: Send, error: InferenceError) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close"})
    else:
        await respond(send, error_response(scope["path"], error))
