"""Where websockets go."""

from __future__ import annotations

from channels.auth import AuthMiddlewareStack
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import URLRouter
from django.urls import re_path

from conversations.routing import websocket_urlpatterns
from hugweb.asgi_types import Application


class Nowhere(AsyncWebsocketConsumer):
    """Denies a websocket that nobody answers; the router alone would fail with a traceback."""

    async def connect(self) -> None:
        await self.close()


websockets: Application = AuthMiddlewareStack(
    URLRouter([*websocket_urlpatterns, re_path(r"", Nowhere.as_asgi())])
)
