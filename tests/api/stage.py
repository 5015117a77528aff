"""A server whose engine does what a test says, with a model of every kind in its home."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from inference.protocol import Event, Request
from tests.fakes import FakeEngine, Script
from tests.serving import Server, engine_thread, fill_home

HELLO = [{"role": "user", "content": "one two three"}]
# What each of these models can do; MODEL itself only completes.
KINDS = {
    "test/tools": ["completion", "tools"],
    "test/thinker": ["completion", "tools", "thinking"],
    "test/vision": ["completion", "vision", "audio"],
    "test/insert": ["completion", "insert"],
    "test/embedder": ["embedding"],
    "test/reranker": ["rerank"],
    "test/image": ["image"],
}
_RECORDS = f"""
import django; django.setup()
from inference.models import ModelRecord
for name, capabilities in {KINDS!r}.items():
    ModelRecord.objects.create(
        name=name, source="store", folder=name, architecture="llama", capabilities=capabilities,
        parameters=1000, dtype="BF16", size=2000, digest="1" * 64, context_length=2048,
    )
"""


class Stage:
    """A server with a fake engine whose script a test may change; ``told`` when its home was filled."""

    def __init__(self, server: Server, engine: FakeEngine, told: str = "") -> None:
        self.server, self.engine, self.told = server, engine, told

    def plays(self, *events: Event) -> None:
        """From now on the engine answers everything with ``events``."""
        self.engine.script = says(*events)

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> tuple[int, Any, Any]:
        return self.request("POST", path, body, headers)

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, Any]:
        """Status, headers and body of the answer."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection = http.client.HTTPConnection(urlsplit(self.server.url).netloc, timeout=30)
        connection.request(method, path, data, headers or {})
        response = connection.getresponse()
        text = response.read()
        connection.close()
        return response.status, response.headers, text

    def lines(self, path: str, body: Any) -> list[dict[str, Any]]:
        """The frames of a stream."""
        return [json.loads(line) for line in self.post(path, body)[2].splitlines()]


def says(*events: Event) -> Script:
    """A script that answers everything with ``events``."""

    async def script(request: Request) -> AsyncIterator[Event]:
        for event in events:
            yield event

    return script


@contextlib.contextmanager
def open_stage(folder: Path, *codes: str, env: Mapping[str, str] | None = None) -> Iterator[Stage]:
    """A stage in ``folder``, in whose home is what ``codes`` add, and whose server has ``env``."""
    home = folder / "home"
    told = fill_home(home, _RECORDS, *codes)
    with engine_thread(folder / "e.sock") as engine, Server(home, engine=engine, env=env) as server:
        yield Stage(server, engine, told)
