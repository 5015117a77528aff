"""Keys at the door: who is let in where, with what, and what everything behind the door knows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User

from inference.asker import Asker, asker
from inference.keys.models import ApiKey
from inference.keys.secrets import token_make
from inference.keys.services import key_create, key_revoke
from inference.usage.meter import Measured
from inference.usage.services import usage_write
from tests.doors import Door
from tests.inference.usage.conftest import measured

pytestmark = pytest.mark.django_db(transaction=True)

READ, ASK = ("GET", "/api/tags"), ("POST", "/api/chat")
MANAGING = [
    ("POST", "/api/pull"),
    ("POST", "/api/push"),
    ("POST", "/api/create"),
    ("POST", "/api/copy"),
    ("DELETE", "/api/delete"),
    ("HEAD", "/api/blobs/sha256:0"),
    ("POST", "/api/blobs/sha256:0"),
    ("DELETE", "/v1/models/x"),
    ("PUT", "/api/anything"),
]
READING = [READ, ("POST", "/api/show"), ("GET", "/v1/models"), ("HEAD", "/api/version")]
ASKING = [ASK, ("POST", "/api/embed"), ("POST", "/v1/chat/completions"), ("POST", "/v1/messages")]


@pytest.fixture
def network(settings: Any) -> Door:
    return Door(settings, "0.0.0.0")


@pytest.fixture
def loopback(settings: Any) -> Door:
    return Door(settings, "127.0.0.1")


@pytest.fixture
def boss() -> User:
    return User.objects.create_superuser("boss")


def token_of(user: User, *scopes: str, **more: Any) -> str:
    return key_create(user=user, name="k", scopes=scopes, **more)[1]


async def made(user: User, *scopes: str, **more: Any) -> str:
    return await sync_to_async(token_of)(user, *scopes, **more)


@pytest.mark.parametrize("scope", ["read", "generate", "manage"])
async def test_a_key_opens_what_its_scope_says_and_nothing_else(
    network: Door, boss: User, scope: str
) -> None:
    bearer = f"Bearer {await made(boss, scope)}"
    for needed, requests in (("read", READING), ("generate", ASKING), ("manage", MANAGING)):
        for method, path in requests:
            status, _ = await network.ask(method, path, authorization=bearer)
            assert status == (200 if needed == scope else 403), (method, path)


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), READ, ASK, *MANAGING])
async def test_without_a_key_nothing_is_open_on_a_network_address(
    network: Door, method: str, path: str
) -> None:
    assert (await network.ask(method, path))[0] == 401
    for wrong in ("Bearer ollama", "Bearer " + token_make(), "Basic eDp5", "Bearer", ""):
        assert (await network.ask(method, path, authorization=wrong))[0] == 401
    assert network.who is None


async def test_on_loopback_the_api_is_open_also_to_clients_that_must_send_a_word(loopback: Door) -> None:
    for headers in ({}, {"authorization": "Bearer ollama"}, {"authorization": "Bearer sk-1"}):
        for method, path in (READ, ASK, *MANAGING):
            assert (await loopback.ask(method, path, **headers))[0] == 200
    await loopback.ask(*ASK)
    assert loopback.who == Asker(source="ollama")


async def test_on_loopback_a_key_of_ours_is_checked_all_the_same(loopback: Door, boss: User) -> None:
    token = await made(boss, "read")
    assert (await loopback.ask(*READ, authorization=f"Bearer {token}"))[0] == 200
    assert (await loopback.ask(*ASK, authorization=f"Bearer {token}"))[0] == 403
    assert (await loopback.ask(*READ, authorization=f"Bearer {token_make()}"))[0] == 401


async def test_everything_behind_knows_whose_key_it_was(network: Door, boss: User) -> None:
    token = await made(boss, "generate", allowed_models=["Small"])
    await network.ask("POST", "/v1/chat/completions", authorization=f"bearer  {token}")
    key = await ApiKey.objects.aget()
    assert network.who == Asker(source="openai", user=boss.pk, key=key.pk, models=("small",))
    assert network.who.owner == f"user {boss.pk}"
    assert key.last_used is not None
    assert asker() == Asker()


async def test_each_dialects_own_header_works_on_its_paths_only(network: Door, boss: User) -> None:
    token = await made(boss, "generate", "read")
    assert (await network.ask("POST", "/v1/messages", x_api_key=token))[0] == 200
    assert (await network.ask("POST", "/v1/responses", api_key=token))[0] == 200
    assert (await network.ask("GET", "/v1/models", x_api_key=token))[0] == 200
    assert (await network.ask("POST", "/v1/messages", api_key=token))[0] == 200
    assert (await network.ask("POST", "/api/chat", x_api_key=token))[0] == 401


async def test_revoking_and_deactivating_work_with_the_next_request(network: Door, boss: User) -> None:
    bearer = f"Bearer {await made(boss, 'generate')}"
    assert (await network.ask(*ASK, authorization=bearer))[0] == 200
    await User.objects.aupdate(is_active=False)
    assert (await network.ask(*ASK, authorization=bearer))[0] == 401
    await User.objects.aupdate(is_active=True)
    await sync_to_async(key_revoke)(key=await ApiKey.objects.aget())
    assert (await network.ask(*ASK, authorization=bearer))[0] == 401


async def test_who_is_no_staff_any_more_cannot_manage(network: Door, boss: User) -> None:
    bearer = f"Bearer {await made(boss, 'manage')}"
    await User.objects.aupdate(is_staff=False)
    assert (await network.ask("POST", "/api/pull", authorization=bearer))[0] == 403


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/api/chat", None), ("/v1/x", "rate_limit_error"), ("/v1/messages", "rate_limit_error")],
)
async def test_a_key_that_asks_too_often_is_told_so(
    network: Door, boss: User, path: str, kind: str | None
) -> None:
    bearer = f"Bearer {await made(boss, 'generate', requests_per_minute=2)}"
    assert [(await network.ask("POST", path, authorization=bearer))[0] for _ in range(3)] == [200, 200, 429]
    body = json.loads((await network.ask("POST", path, authorization=bearer))[1])
    assert (body["error"]["type"] if kind else None) == kind


@pytest.mark.usefixtures("one_day")
async def test_a_key_that_has_used_its_tokens_may_not_ask_before_tomorrow(network: Door, boss: User) -> None:
    """A request has 15 tokens; those of yesterday and of other keys do not count."""
    bearer = f"Bearer {await made(boss, 'generate', 'read', tokens_per_day=30)}"
    bob = await User.objects.acreate(username="bob")
    other = f"Bearer {await made(bob, 'generate')}"
    key = await ApiKey.objects.aget(tokens_per_day=30)
    who = Asker(source="ollama", user=boss.pk, key=key.pk)

    async def used(*rows: Measured) -> None:
        await sync_to_async(usage_write)(rows)

    async def asked(method: str, path: str) -> int:
        return (await network.ask(method, path, authorization=bearer))[0]

    await used(measured(who, back=1), measured(who, back=1), measured(), measured(who))
    assert await asked(*ASK) == 200
    await used(measured(who, model="org/another"))
    for path in ("/api/chat", "/v1/chat/completions", "/v1/messages", "/stream-message"):
        assert await asked("POST", path) == 429
    assert await asked(*READ) == 200
    assert (await network.ask(*ASK, authorization=other))[0] == 200
    body = json.loads((await network.ask("POST", "/v1/chat/completions", authorization=bearer))[1])
    assert (body["error"]["code"], body["error"]["type"]) == ("insufficient_quota", "rate_limit_error")
    assert "its 30 tokens of today" in body["error"]["message"]


async def test_refusals_speak_the_dialect(network: Door) -> None:
    assert isinstance(json.loads((await network.ask(*ASK))[1])["error"], str)
    openai = json.loads((await network.ask("POST", "/v1/chat/completions"))[1])
    assert openai["error"]["type"] == "authentication_error"
    anthropic = json.loads((await network.ask("POST", "/v1/messages"))[1])
    assert (anthropic["type"], anthropic["error"]["type"]) == ("error", "authentication_error")
