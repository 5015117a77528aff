from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from hugweb.metrics import endpoint_of
from inference.protocol import LoadedModel
from tests.fakes import FakeEngine, gated
from tests.serving import MODEL, Server, engine_thread, eventually


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/api/chat", "/api/chat"),
        ("/v1/models/org/name", "/v1/models/<path:name>"),
        (f"/api/blobs/sha256:{'0' * 64}", "/api/blobs/<str:digest>"),
        ("/api/zzz/" + "x" * 1000, "other"),
        ("/", "/"),
    ],
)
def test_addresses_are_counted_by_their_pattern(path: str, endpoint: str) -> None:
    assert endpoint_of(path) == endpoint


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeEngine]:
    with engine_thread(tmp_path_factory.mktemp("metrics") / "e.sock") as engine:
        yield engine


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, engine: FakeEngine) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("metrics") / "home", engine=engine) as server:
        yield server


def post(server: Server, model: str) -> int:
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "one two"}]}).encode()
    try:
        with urllib.request.urlopen(f"{server.url}/api/chat", body, timeout=10) as response:
            response.read()
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


def figures(server: Server) -> dict[tuple[str, ...], float]:
    """Every figure by its name and the values of its labels, in the order of their names."""
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=10) as response:
        assert response.headers["content-type"].startswith("text/plain; version=")
        text = response.read().decode()
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_requests_are_counted_and_timed(server: Server) -> None:
    assert [post(server, MODEL), post(server, MODEL), post(server, "nope")] == [200, 200, 404]
    found = figures(server)
    assert found["hugweb_requests_total", "/api/chat", "200"] == 2
    assert found["hugweb_requests_total", "/api/chat", "404"] == 1
    assert found["hugweb_request_seconds_count", "/api/chat"] == 3
    assert found["hugweb_request_first_seconds_count", "/api/chat"] == 3
    assert found["hugweb_requests_active",] == 0
    assert found["hugweb_tokens_total", "prompt"] == found["hugweb_tokens_total", "completion"] == 4
    assert found["hugweb_tokens_total", "cached"] == 0
    assert found["process_resident_memory_bytes",] > 0


def test_requests_in_flight_are_counted(server: Server, engine: FakeEngine) -> None:
    script, _ = gated(["one"])
    before, engine.script = engine.script, script
    body = json.dumps({"model": MODEL, "prompt": "x"}).encode()
    try:
        connection = urllib.request.Request(f"{server.url}/api/generate", body)
        with pytest.raises(TimeoutError):
            urllib.request.urlopen(connection, timeout=0.3)
        key = ("hugweb_requests_total", "/api/generate", "left")
        eventually(lambda: figures(server).get(key) == 1, lambda: "not counted", seconds=5)
        assert figures(server)["hugweb_requests_active",] == 0
    finally:
        engine.script = before


def test_the_engine_and_its_models_are_told(server: Server, engine: FakeEngine) -> None:
    engine.models = (
        LoadedModel(
            name=MODEL, state="ready", device="cpu", size=9, context_length=512, expires_in=30, active=2
        ),
    )
    found = figures(server)
    engine.models = ()
    assert found["hugweb_engine_up",] == 1
    assert found["hugweb_model_bytes", "cpu", MODEL, "ready"] == 9
    assert found["hugweb_model_requests", "cpu", MODEL, "ready"] == 2


async def test_an_engine_that_is_gone_is_told(tmp_path: Path) -> None:
    async with FakeEngine(tmp_path / "e.sock") as engine:
        server = await asyncio.to_thread(Server(tmp_path / "home", engine=engine).start)
    try:
        assert (await asyncio.to_thread(figures, server))["hugweb_engine_up",] == 0
    finally:
        server.kill()


@pytest.mark.django_db
async def test_on_a_network_address_figures_are_for_staff(async_client, settings) -> None:
    settings.ON_LOOPBACK = False
    assert (await async_client.get("/metrics")).status_code == 403
