"""The server's door with nothing behind it."""

from __future__ import annotations

from typing import Any

from hugweb.guard import Guard
from inference.asker import Asker, asker


class Door:
    """A guard with nothing behind it that remembers who came through."""

    def __init__(self, settings: Any, host: str) -> None:
        settings.HOST, settings.ON_LOOPBACK = host, host == "127.0.0.1"
        self._guard = Guard(self._app)
        self.who: Asker | None = None

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        self.who = asker()
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def ask(self, method: str, path: str, **headers: str) -> tuple[int, str]:
        raw = [
            (b"host", b"127.0.0.1"),
            *((k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()),
        ]
        said: list[Any] = []

        async def send(message: Any) -> None:
            said.append(message)

        self.who = None
        scope = {"type": "http", "scheme": "http", "path": path, "method": method, "headers": raw}
        await self._guard(scope, None, send)  # type: ignore[arg-type]
        return said[0]["status"], b"".join(message.get("body", b"") for message in said).decode()
