import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import DatabaseError, connection
from msgspec.structs import replace

from aliases.models import Alias
from hugweb import health
from hugweb.drain import Drain
from inference.models import ProviderConfig
from inference.protocol import LoadedModel
from inference.providers.registry import get_provider
from tests.fakes import FakeEngine

READY = "/health/ready"


@pytest.fixture
def drain(monkeypatch):
    monkeypatch.setattr(health, "DRAIN", Drain())
    return health.DRAIN


@pytest.fixture
async def engine(settings, tmp_path):
    settings.ENGINE_ADDRESS = f"unix:{tmp_path}/engine.sock"
    get_provider.cache_clear()
    async with FakeEngine(tmp_path / "engine.sock") as engine:
        yield engine
    get_provider.cache_clear()


async def test_it_lives_without_anything(async_client, drain):
    drain.begin()
    answer = await async_client.get("/health/live")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert "no-cache" in answer["Cache-Control"]


@pytest.mark.django_db(transaction=True)
async def test_it_is_ready_with_a_database_and_an_engine(async_client, engine, drain):
    answer = await async_client.get(READY)
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "database": True, "engine": True, "draining": False}


@pytest.mark.django_db(transaction=True)
async def test_it_is_not_ready_while_draining(async_client, engine, drain):
    drain.begin()
    answer = await async_client.get(READY)
    assert answer.status_code == 503
    assert answer.json()["draining"] is True


@pytest.mark.django_db(transaction=True)
async def test_it_is_not_ready_without_an_engine(async_client, engine, drain):
    await engine.__aexit__()
    answer = await async_client.get(READY)
    assert answer.status_code == 503
    assert answer.json() == {"status": "unavailable", "database": True, "engine": False, "draining": False}


async def test_it_is_not_ready_without_a_database(async_client, engine, drain, monkeypatch):
    monkeypatch.setattr(health, "database_answers", lambda: False)
    answer = await async_client.get(READY)
    assert answer.status_code == 503
    assert answer.json()["database"] is False


@pytest.mark.django_db
def test_a_database_that_fails_does_not_answer(monkeypatch):
    assert health.database_answers()

    def fail():
        raise DatabaseError

    monkeypatch.setattr(connection, "cursor", fail)
    assert not health.database_answers()


MODELS = "/health/models"
LOADED = LoadedModel(
    name="smollm2",
    state="ready",
    device="cpu",
    size=325_000_000,
    context_length=2048,
    expires_in=60.0,
    active=1,
    quantization="int8",
)


@pytest.mark.django_db(transaction=True)
async def test_an_alias_is_not_named_to_those_who_may_not_ask_for_it(async_client, engine):
    def prepared():
        secret = Alias.objects.create(name="secret", model="org/model", visibility="some")
        ann, bob = (User.objects.create_user(name) for name in ("ann", "bob"))
        secret.users.add(ann)
        return ann, bob

    engine.models = (LOADED, replace(LOADED, name="Secret"))
    ann, bob = await sync_to_async(prepared)()
    for user, told in ((ann, ["smollm2", "Secret"]), (bob, ["smollm2"])):
        await async_client.aforce_login(user)
        models = (await async_client.get(MODELS)).json()["providers"]["huggingface"]["models"]
        assert [model["name"] for model in models] == told
        listed = (await async_client.get("/rest/providers/huggingface/")).json()["loaded"]
        assert [model["name"] for model in listed] == told


@pytest.mark.django_db(transaction=True)
async def test_providers_and_their_models_are_told(async_client, engine):
    engine.models = (LOADED, replace(LOADED, name="other", state="loading", active=0))
    answer = await async_client.get(MODELS)
    assert answer.status_code == 200
    provider = answer.json()["providers"]["huggingface"]
    assert provider["status"] == "ok"
    assert provider["models"][0] == {
        "name": "smollm2",
        "state": "ready",
        "device": "cpu",
        "dtype": "",
        "quantization": "int8",
        "size": 325_000_000,
        "context_length": 2048,
        "active": 1,
    }
    assert provider["models"][1]["state"] == "loading"


@pytest.mark.django_db(transaction=True)
async def test_a_provider_that_is_away_is_told(async_client, engine):
    await engine.__aexit__()
    answer = await async_client.get(MODELS)
    assert answer.status_code == 503
    assert answer.json() == {
        "status": "unavailable",
        "providers": {"huggingface": {"status": "unavailable", "models": []}},
    }


@pytest.mark.django_db(transaction=True)
async def test_on_a_network_strangers_hear_no_names(async_client, engine, settings, django_user_model):
    settings.ON_LOOPBACK = False
    engine.models = (LOADED,)
    stranger = await async_client.get(MODELS)
    assert stranger.json() == {"status": "ok", "providers": {"huggingface": {"status": "ok"}}}
    user = await django_user_model.objects.acreate_user("ada", password="secret")
    await async_client.aforce_login(user)
    known = await async_client.get(MODELS)
    assert known.json()["providers"]["huggingface"]["models"][0]["name"] == "smollm2"


@pytest.mark.django_db(transaction=True)
async def test_a_provider_that_is_switched_off_is_no_reason_to_be_unwell(async_client, engine):
    await engine.__aexit__()
    await ProviderConfig.objects.acreate(name="huggingface", enabled=False)
    answer = await async_client.get(MODELS)
    assert answer.status_code == 200
    assert answer.json()["providers"] == {"huggingface": {"status": "disabled", "models": []}}
