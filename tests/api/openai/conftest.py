"""The stage of all APIs, with OpenAI's own client and a model that can do anything."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any, TypeVar
from urllib.parse import urlsplit

import openai
import pytest

from tests.api import stage as stages
from tests.api.stage import open_stage
from tests.fakes import echo
from tests.serving import MODEL, eventually

T = TypeVar("T")

ABLE, ALIAS, VECTORS, PICTURES = "test/able", "brief", "test/embedder", "test/image"
SPEECH = "test/speech"
NAMES = {MODEL, ABLE, ALIAS, SPEECH, *stages.KINDS}

_RECORDS = f"""
import django; django.setup()
from aliases.models import Alias
from inference.models import ModelRecord
ModelRecord.objects.create(
    name={ABLE!r}, source="store", folder={ABLE!r}, architecture="llama", digest="0" * 64,
    capabilities=["completion", "tools", "thinking", "vision", "audio", "insert"],
)
ModelRecord.objects.create(
    name={SPEECH!r}, source="store", folder={SPEECH!r}, architecture="whisper", digest="0" * 64,
    capabilities=["transcription"],
)
Alias.objects.create(name={ALIAS!r}, model={ABLE!r}, system="Be brief.", options={{"temperature": 0.5}})
"""


class Stage(stages.Stage):
    """A server, its engine, and a client."""

    def __init__(self, of: stages.Stage) -> None:
        super().__init__(of.server, of.engine)
        self.base = f"{of.server.url}/v1"
        self.client = openai.OpenAI(base_url=self.base, api_key="-", max_retries=0)

    def asked(self, kind: type[T]) -> T:
        """The last request that the engine got."""
        request = self.engine.requests[-1]
        assert isinstance(request, kind)
        return request

    def data(self, path: str, body: Any) -> list[str]:
        """What a stream says, event by event."""
        status, _, text = self.post(path, body)
        assert status == 200, text
        events = text.decode().split("\n\n")
        assert events.pop() == ""
        return [event.rpartition("data: ")[2] for event in events]

    def leave(self, path: str, body: Any, requests: int) -> None:
        """Leave once the engine has so many requests, and see that it loses all of them."""
        connection = http.client.HTTPConnection(urlsplit(self.server.url).netloc)
        connection.request("POST", path, json.dumps(body))
        eventually(lambda: len(self.engine.requests) == requests, lambda: "never asked")
        assert self.engine.closed == 0
        connection.close()
        eventually(lambda: self.engine.closed == requests, lambda: "still working")


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One for all files: what they leave behind, kept responses, is in nobody's way."""
    with open_stage(tmp_path_factory.mktemp("api"), _RECORDS) as opened:
        yield Stage(opened)


@pytest.fixture
def stage(running: Stage) -> Iterator[Stage]:
    running.engine.script = echo
    running.engine.requests.clear()
    running.engine.closed = 0
    yield running
