"""Which pages of other origins may call the API, and the CORS headers that tell their browsers so.

The default origins are Ollama's; ``OLLAMA_ORIGINS`` adds to them. Knows nothing of requests.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from hugweb.api.remarks import MODEL, NOTE
from hugweb.api.shape import dialect_of
from inference.request_id import ANTHROPIC_HEADER, HEADER

Headers = list[tuple[bytes, bytes]]

_DEFAULTS = (
    r"https?://(localhost|127\.0\.0\.1|0\.0\.0\.0)(:\d{1,5})?",
    r"(app|file|tauri|vscode-webview|vscode-file)://.*",
)
_METHODS = "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS"
_STAINLESS = (
    "arch",
    "async",
    "custom-poll-interval",
    "helper-method",
    "lang",
    "os",
    "package-version",
    "poll-helper",
    "retry-count",
    "runtime",
    "runtime-version",
    "timeout",
)
_REQUEST_HEADERS = (
    "Authorization",
    "Content-Type",
    "User-Agent",
    "Accept",
    "X-Requested-With",
    "OpenAI-Beta",
    *(f"x-stainless-{name}" for name in _STAINLESS),
    "x-api-key",
    "api-key",
    HEADER,
    "anthropic-version",
    "anthropic-beta",
    "anthropic-dangerous-direct-browser-access",
)

# What of an answer its script may read, besides what any may.
_TOLD = (HEADER, ANTHROPIC_HEADER, "Retry-After", MODEL, NOTE)


VARIES = (b"vary", b"Origin")


class Origins:
    """Ollama's default origins and ``extra`` ones, in which ``*`` stands for anything.

    Our own pages are those of the host that is asked, and of ``own`` where that is not empty.
    """

    def __init__(self, extra: Iterable[str] = (), own: str = "") -> None:
        patterns = (re.escape(origin.lower()).replace(r"\*", ".*") for origin in extra)
        self._pattern = re.compile("|".join(f"(?:{pattern})" for pattern in (*_DEFAULTS, *patterns)))
        self._own = {own} - {""}

    def allow(self, origin: str) -> bool:
        """Whether a page of ``origin`` may call the API."""
        return self._pattern.fullmatch(origin.lower()) is not None

    def is_own(self, origin: str, *, scheme: str, hosts: Iterable[str]) -> bool:
        """Whether ``origin`` is that of our own pages, for a request to ``hosts``."""
        return origin.lower() in {*self._own, *(f"{scheme}://{host}".lower() for host in hosts)}

    def foreign(self, origins: Sequence[str], *, scheme: str, hosts: Sequence[str]) -> str:
        """The only one of ``origins`` if it is another one that may call the API; else empty."""
        origin = origins[0] if len(origins) == 1 else ""
        is_other = origin and not self.is_own(origin, scheme=scheme, hosts=hosts)
        return origin if is_other and self.allow(origin) else ""


def answer_headers(path: str, foreign: str) -> Headers:
    """What lets a page of the origin ``foreign`` read an answer of ``path``, where that is an API's.

    Caches are told that an answer depends on who asks, also those that keep one for our own pages.
    """
    if dialect_of(path) is None:
        return []
    if not foreign:
        return [VARIES]
    return [
        (b"access-control-allow-origin", foreign.encode("latin-1")),
        (b"access-control-expose-headers", ", ".join(_TOLD).encode()),
        VARIES,
    ]


def preflight_headers(*, private: bool = False) -> Headers:
    """What a preflight is told, besides ``answer_headers``; ``private``: it asks for our network, too."""
    return [
        *([(b"access-control-allow-private-network", b"true")] if private else ()),
        (b"access-control-allow-methods", _METHODS.encode()),
        (b"access-control-allow-headers", ", ".join(_REQUEST_HEADERS).encode()),
        (b"access-control-max-age", b"43200"),
    ]
