"""Which pages of other origins may call the API, and the CORS headers that tell their browsers so.

The default origins are Ollama's; ``OLLAMA_ORIGINS`` adds to them. Knows nothing of requests.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from hugweb.api.remarks import MODEL, NOTE
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


class Origins:
    """Ollama's default origins and ``extra`` ones, in which ``*`` stands for anything."""

    def __init__(self, extra: Iterable[str] = ()) -> None:
        patterns = (re.escape(origin.lower()).replace(r"\*", ".*") for origin in extra)
        self._pattern = re.compile("|".join(f"(?:{pattern})" for pattern in (*_DEFAULTS, *patterns)))

    def allow(self, origin: str) -> bool:
        """Whether a page of ``origin`` may call the API."""
        return self._pattern.fullmatch(origin.lower()) is not None


def answer_headers(origin: str) -> Headers:
    """What lets a page of ``origin`` read an answer."""
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-expose-headers", ", ".join(_TOLD).encode()),
        (b"vary", b"Origin"),
    ]


def preflight_headers(*, private: bool = False) -> Headers:
    """What a preflight is told, besides ``answer_headers``; ``private``: it asks for our network, too."""
    return [
        *([(b"access-control-allow-private-network", b"true")] if private else ()),
        (b"access-control-allow-methods", _METHODS.encode()),
        (b"access-control-allow-headers", ", ".join(_REQUEST_HEADERS).encode()),
        (b"access-control-max-age", b"43200"),
    ]
