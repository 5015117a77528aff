"""A real server with a fake engine whose script a test may change, and OpenAI's own client."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, TypeVar
from urllib.parse import urlsplit

import openai
import pytest

from inference.protocol import Event, Loading, Request
from tests.fakes import FakeEngine, Script, echo
from tests.serving import Server, engine_thread, eventually, fill_home, run_python

T = TypeVar("T")

MODEL = "test/model"
# A model that can do anything, one for vectors, one for pictures, and an alias.
ABLE, VECTORS, PICTURES, ALIAS = "test/able", "test/vectors", "test/pictures", "brief"

_RECORDS = f"""
import django; django.setup()
from aliases.models import Alias
from inference.models import ModelRecord
for name, capabilities in {{
    {ABLE!r}: ["completion", "tools", "thinking", "vision", "audio", "insert"],
    {VECTORS!r}: ["embedding"],
    {PICTURES!r}: ["image"],
}}.items():
    ModelRecord.objects.create(
        name=name, source="store", folder=name, architecture="llama", digest="0" * 64,
        capabilities=capabilities,
    )
Alias.objects.create(name={ALIAS!r}, model={ABLE!r}, system="Be brief.", options={{"temperature": 0.5}})
"""


class Stage:
    """A server, its engine, and a client."""

    def __init__(self, server: Server, engine: FakeEngine) -> None:
        self.server, self.engine = server, engine
        self.base = f"{server.url}/v1"
        self.client = openai.OpenAI(base_url=self.base, api_key="-", max_retries=0)

    def asked(self, kind: type[T]) -> T:
        """The last request that the engine got."""
        request = self.engine.requests[-1]
        assert isinstance(request, kind)
        return request

    def answer(self, *events: Event) -> None:
        """Answer every request with ``events``."""

        async def script(request: Request) -> AsyncIterator[Event]:
            for event in events:
                yield event

        self.engine.script = script

    def post(self, path: str, body: Any) -> tuple[int, bytes]:
        return self.request("POST", path, body)

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection = http.client.HTTPConnection(urlsplit(self.server.url).netloc, timeout=10)
        connection.request(method, path, data, headers or {})
        response = connection.getresponse()
        text = response.read()
        connection.close()
        return response.status, text

    def data(self, path: str, body: Any) -> list[str]:
        """What a stream says, event by event."""
        status, text = self.post(path, body)
        assert status == 200, text
        events = text.decode().split("\n\n")
        assert events.pop() == ""
        return [event.rpartition("data: ")[2] for event in events]

    def leave(self, path: str, body: Any, requests: int = 1) -> None:
        """Leave once the engine has so many requests, and see that it loses all of them."""
        connection = http.client.HTTPConnection(urlsplit(self.server.url).netloc)
        connection.request("POST", path, json.dumps(body))
        eventually(lambda: len(self.engine.requests) == requests, lambda: "never asked", 5)
        assert self.engine.closed == 0
        connection.close()
        eventually(lambda: self.engine.closed == requests, lambda: "still working", 5)


def endless(*events: Event) -> Script:
    """A script that says ``events`` and then nothing more for ever."""

    async def script(request: Request) -> AsyncIterator[Event]:
        for event in events:
            yield event
        yield Loading(seconds=1)
        await asyncio.Event().wait()

    return script


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("api")
    fill_home(folder / "home")
    run_python(_RECORDS, folder / "home")
    with engine_thread(folder / "e.sock") as engine, Server(folder / "home", engine=engine) as server:
        yield Stage(server, engine)


@pytest.fixture
def stage(running: Stage) -> Iterator[Stage]:
    running.engine.script = echo
    running.engine.requests.clear()
    running.engine.closed = 0
    yield running
