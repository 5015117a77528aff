from __future__ import annotations

import asyncio
import http.client
import json
import re
import threading
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from hugweb import metrics
from hugweb.metrics import EngineFigures, endpoint_of
from inference.keys.services import key_create
from inference.protocol import Done, Event, LoadedModel, Queued, Request, Text
from tests.fakes import FakeEngine, gated
from tests.inference.usage.conftest import measured
from tests.serving import MODEL, PROJECT, Server, engine_thread, eventually


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
        with urllib.request.urlopen(f"{server.url}/api/chat", body, timeout=30) as response:
            response.read()
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


def figures(server: Server) -> dict[tuple[str, ...], float]:
    """Every figure by its name and the values of its labels, in the order of their names."""
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=30) as response:
        assert response.headers["content-type"].startswith("text/plain; version=")
        text = response.read().decode()
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_requests_are_counted_and_timed(server: Server) -> None:
    before = figures(server)
    assert [post(server, MODEL), post(server, MODEL), post(server, "nope")] == [200, 200, 404]
    found = figures(server)
    added = {name: value - before.get(name, 0.0) for name, value in found.items()}
    assert added["hugweb_requests_total", "/api/chat", "200"] == 2
    assert added["hugweb_requests_total", "/api/chat", "404"] == 1
    assert added["hugweb_request_seconds_count", "/api/chat"] == 3
    assert added["hugweb_request_first_seconds_count", "/api/chat"] == 3
    assert found["hugweb_requests_active",] == 0
    assert (
        added["hugweb_tokens_total", "prompt", MODEL]
        == added["hugweb_tokens_total", "completion", MODEL]
        == 4
    )
    assert found["hugweb_tokens_total", "cached", MODEL] == 0
    assert added["hugweb_answers_total", "generate", MODEL, "done"] == 2
    assert added["hugweb_first_token_seconds_count", MODEL] == added["hugweb_queue_seconds_count", MODEL] == 2
    assert found["hugweb_queue_length", MODEL] == 0
    assert found["process_resident_memory_bytes",] > 0


def test_requests_in_flight_are_counted(server: Server, engine: FakeEngine) -> None:
    script, _ = gated(["one"])
    before, engine.script = engine.script, script
    body = json.dumps({"model": MODEL, "prompt": "x"})
    asked = len(engine.requests)
    try:
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc)
        connection.request("POST", "/api/generate", body)
        eventually(lambda: len(engine.requests) > asked, lambda: "the engine was not asked")
        connection.close()
        key = ("hugweb_requests_total", "/api/generate", "left")
        eventually(lambda: figures(server).get(key) == 1, lambda: "not counted")
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


@pytest.mark.django_db(transaction=True)
async def test_on_a_network_address_keys_that_may_read_see_figures(async_client, settings) -> None:
    settings.ON_LOOPBACK = False
    user = await User.objects.acreate(username="ann", is_staff=True)

    async def ask(token: str) -> int:
        return (await async_client.get("/metrics", headers={"Authorization": f"Bearer {token}"})).status_code

    for scope, status in (("read", 200), ("manage", 200), ("generate", 403)):
        _, token = await sync_to_async(key_create)(user=user, name=scope, scopes=[scope])
        assert await ask(token) == status
    _, token = await sync_to_async(key_create)(user=user, name="x", scopes=["read"], requests_per_minute=1)
    assert [await ask(token), await ask(token), await ask("nonsense")] == [200, 429, 401]
    assert (await async_client.get("/metrics")).status_code == 403


def test_who_waits_for_others_is_told(server: Server, engine: FakeEngine) -> None:
    go_on, waits = threading.Event(), threading.Event()

    async def script(request: Request) -> AsyncIterator[Event]:
        yield Queued(position=1)
        waits.set()
        await asyncio.to_thread(go_on.wait, 30)
        yield Text(text="Hi")
        yield Done(reason="stop")

    before, engine.script = engine.script, script
    asking = threading.Thread(target=post, args=(server, MODEL))
    key = ("hugweb_queue_seconds_sum", MODEL)
    waited = figures(server).get(key, 0.0)
    try:
        asking.start()
        assert waits.wait(30)
        eventually(lambda: figures(server)["hugweb_queue_length", MODEL] == 1, lambda: "not told")
    finally:
        go_on.set()
        asking.join(30)
        engine.script = before
    found = figures(server)
    assert found["hugweb_queue_length", MODEL] == 0
    assert found[key] > waited


def test_models_beyond_the_most_share_their_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_models", set())
    labels = [metrics.model_label(f"org/{number}") for number in range(metrics.MOST_MODELS + 5)]
    assert labels[-6:] == [f"org/{metrics.MOST_MODELS - 1}", *["other"] * 5]
    assert metrics.model_label("org/0") == "org/0"
    metrics.count_answer(measured(model="org/beyond"))
    assert metrics.ANSWERS.labels("other", "generate", "done")._value.get() >= 1


def test_the_table_of_figures_is_the_code_s() -> None:
    """Each with its kind and its labels."""
    page = (PROJECT / "docs" / "metrics.md").read_text()
    lines = [line for line in page.splitlines() if line.startswith("| `hugweb_")]
    said = {
        name.strip(" `"): (kind.strip(), tuple(re.findall("`(.+?)`", labels)))
        for _, name, kind, labels, *_ in (line.split("|") for line in lines)
    }
    model = LoadedModel(
        name=MODEL, state="ready", device="cpu", size=9, context_length=512, expires_in=30, active=2
    )
    metrics.count_answer(measured(model=MODEL))
    families = [*metrics.REGISTRY.collect(), *EngineFigures((model,)).collect()]
    told = {
        family.name + ("_total" if family.type == "counter" else ""): (family.type, labels_of(family))
        for family in families
        if family.name.startswith("hugweb_")
    }
    assert {name: kind for name, (kind, _) in said.items()} == {
        name: kind for name, (kind, _) in told.items()
    }
    assert {name: labels for name, (_, labels) in said.items()} == {
        name: labels or said[name][1] for name, (_, labels) in told.items()
    }


def labels_of(family: Metric) -> tuple[str, ...]:
    """The labels of a family that has samples; what a histogram adds is left out."""
    found = family.samples[0].labels if family.samples else {}
    return tuple(name for name in found if name != "le")
