"""Two people, a model, an engine that says what a test wants, and sockets to talk over."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from aliases.models import Alias
from hugweb.routing import websockets
from inference.models import ModelRecord
from tests.fakes import FakeEngine

MODEL = "test/model"
PATIENCE = 30


@pytest.fixture
def model(db: None) -> ModelRecord:
    Alias.objects.create(name="tester", model=MODEL, system="Be brief.", options={"temperature": 0})
    return ModelRecord.objects.create(
        name=MODEL, source="store", folder=MODEL, architecture="llama", capabilities=["completion"]
    )


@pytest.fixture
def ann(db: None) -> User:
    return User.objects.create_user("ann")


@pytest.fixture
def bob(db: None) -> User:
    return User.objects.create_user("bob")


class Socket(WebsocketCommunicator):
    """A page's socket: says and hears JSON."""

    async def hear(self) -> dict[str, Any]:
        return await self.receive_json_from(PATIENCE)

    async def hear_until(self, kind: str) -> list[dict[str, Any]]:
        """All that is heard up to and with the first message of this type."""
        heard = [await self.hear()]
        while heard[-1]["type"] != kind:
            heard.append(await self.hear())
        return heard

    async def say(self, **message: Any) -> None:
        await self.send_json_to(message)

    async def disconnect(self, code: int = 1000, timeout: float = PATIENCE) -> None:  # noqa: ASYNC109
        await super().disconnect(code, timeout)

    async def closing_code(self) -> int:
        closing = await self.receive_output(PATIENCE)
        assert closing["type"] == "websocket.close"
        return closing["code"]


Wrapper = Callable[..., Any]


@contextlib.asynccontextmanager
async def wrapped(wrapper: Wrapper) -> AsyncIterator[None]:
    """``wrapper`` around every statement of the thread that turns use the database in."""
    await sync_to_async(lambda: connection.execute_wrappers.append(wrapper))()
    try:
        yield
    finally:
        await sync_to_async(lambda: connection.execute_wrappers.remove(wrapper))()


Connect = Callable[[User | None], Awaitable[Socket]]


@pytest.fixture
def session_of() -> Callable[[User], str]:
    def session(user: User) -> str:
        client = Client()
        client.force_login(user)
        return client.cookies[django_settings.SESSION_COOKIE_NAME].value

    return session


@pytest.fixture
def sessions(session_of: Callable[[User], str], ann: User, bob: User) -> dict[int, str]:
    return {user.pk: session_of(user) for user in (ann, bob)}


@pytest.fixture
async def connect(sessions: dict[int, str], engine: FakeEngine) -> AsyncIterator[Connect]:
    opened: list[Socket] = []

    async def open_socket(user: User | None) -> Socket:
        cookie = f"{django_settings.SESSION_COOKIE_NAME}={sessions[user.pk]}" if user else ""
        socket = Socket(websockets, "/ws/chat/", headers=[(b"cookie", cookie.encode())])
        assert (await socket.connect(PATIENCE))[0]
        opened.append(socket)
        return socket

    yield open_socket
    for socket in opened:
        await socket.disconnect()


@pytest.fixture
def ann_client(client: Client, ann: User) -> Iterator[Client]:
    client.force_login(ann)
    yield client


@pytest.fixture
def eyes(db: None) -> ModelRecord:
    """A model that can be shown pictures."""
    return ModelRecord.objects.create(
        name="test/eyes", source="store", folder="x", architecture="y", capabilities=["completion", "vision"]
    )
