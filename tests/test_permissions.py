"""Who may do what, over every address there is: what is not listed as open has to be closed.

The addresses come from Django's own table, so one that is added is held to this without being named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import URLPattern, get_resolver

from conversations.models import Conversation, Message
from hugweb.api.shape import dialect_of
from hugweb.groups import MANAGERS
from inference.keys.models import ApiKey, Scope
from inference.keys.secrets import token_make
from inference.keys.services import key_create
from inference.models import ModelRecord, ProviderConfig
from tests.doors import Door

SAMPLES = {"uuid": str(uuid4()), "int": "1", "str": "x", "slug": "x", "path": "1"}
# Every page that somebody who is not logged in may see.
OPEN = {
    *("", "login/", "login/<str:uid>/<str:token>/", "logout/"),
    *("health/live", "health/ready", "health/models", "metrics"),
}
# Pages for whoever is logged in: what is theirs, and what everybody shares. Others are for managers.
THEIRS = {
    *("chat/", "chat/models/", "usage/", "usage/usage.csv", "rest/docs/", "attachments/"),
    *(f"attachments/<uuid:attachment_id>/{end}" for end in ("", "remove/")),
    *(f"chat/<uuid:conversation_id>/{end}" for end in ("", "delete/", "rename/")),
}
MANAGING = ("pull", "push", "create", "copy", "delete", "blobs")
REFUSED = {302, 401, 403, 404, 405}


def patterns(found: Any = None, before: str = "") -> Iterator[str]:
    """Every address, as it is written in the tables of addresses."""
    for entry in get_resolver().url_patterns if found is None else found:
        if isinstance(entry, URLPattern):
            yield before + str(entry.pattern)
        else:
            yield from patterns(entry.url_patterns, before + str(entry.pattern))


def path_of(pattern: str) -> str:
    """An address that ``pattern`` matches."""
    if pattern.startswith("^"):
        return "/api/nothing"
    return "/" + re.sub(r"<(\w+):\w+>", lambda match: SAMPLES.get(match[1], "1"), pattern).rstrip("$")


ALL = sorted(set(patterns()))
API = [pattern for pattern in ALL if pattern and dialect_of(path_of(pattern))]
ADMIN = [pattern for pattern in ALL if pattern.startswith("admin/")]
PAGES = [pattern for pattern in ALL if pattern not in (*API, *ADMIN)]


def test_there_are_addresses_of_every_kind() -> None:
    assert len(API) >= 14
    assert len(ADMIN) >= 60
    assert set(PAGES) >= OPEN


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


@pytest.mark.django_db
@pytest.mark.parametrize("pattern", [*PAGES, *ADMIN])
def test_a_stranger_sees_nothing_that_is_not_listed_as_open(client: Client, pattern: str) -> None:
    for ask in (client.get, client.post, client.delete):
        answer = ask(path_of(pattern))
        if pattern not in OPEN:
            assert answer.status_code in REFUSED, (ask, answer.status_code)
            if answer.status_code == 302:
                assert answer["Location"].startswith(("/login/", "/admin/"))


@pytest.mark.django_db
@pytest.mark.parametrize("pattern", [pattern for pattern in PAGES if pattern not in OPEN | THEIRS])
def test_what_is_for_managers_is_for_nobody_else(client: Client, pattern: str) -> None:
    """Staff status alone is not enough, and neither is the group."""
    staff = User.objects.create_user("staff", is_staff=True)
    member = User.objects.create_user("member")
    manager = User.objects.create_user("manager", is_staff=True)
    for user in (member, manager):
        user.groups.add(Group.objects.get(name=MANAGERS))
    for user in (User.objects.create_user("ann"), staff, member):
        client.force_login(user)
        assert {client.get(path_of(pattern)).status_code, client.post(path_of(pattern)).status_code} == {403}
    client.force_login(manager)
    for ask in (client.get, client.post):
        assert ask(path_of(pattern)).status_code in {200, 302, 405}


@pytest.mark.django_db
@pytest.mark.parametrize("pattern", [p for p in ADMIN if "modelrecord" in p or "providerconfig" in p])
def test_models_and_providers_are_changed_by_who_may_change_them(client: Client, pattern: str) -> None:
    looking = User.objects.create_user("looking", is_staff=True)
    seen = Permission.objects.filter(codename__in=("view_modelrecord", "view_providerconfig"))
    looking.user_permissions.add(*seen)
    client.force_login(looking)
    ModelRecord.objects.create(name="o/m", source="store", folder="m", architecture="x", digest="0")
    ProviderConfig.objects.create(name="huggingface")
    before = list(ModelRecord.objects.values()), list(ProviderConfig.objects.values())
    # These show the same whatever is posted.
    shows = pattern.endswith(("modelrecord/", "providerconfig/", "<path:object_id>/", "history/", "now/"))
    assert shows or client.post(path_of(pattern), {"post": "yes"}).status_code in REFUSED
    client.post(path_of(pattern), {"post": "yes", "action": "delete_selected", "_selected_action": ["1"]})
    assert (list(ModelRecord.objects.values()), list(ProviderConfig.objects.values())) == before


@pytest.mark.django_db
@pytest.mark.parametrize("pattern", ADMIN)
def test_a_user_without_staff_status_sees_nothing_of_the_admin(client: Client, pattern: str) -> None:
    client.force_login(User.objects.create_user("ann"))
    for ask in (client.get, client.post):
        assert ask(path_of(pattern)).status_code in REFUSED


@pytest.mark.django_db
@pytest.mark.parametrize("pattern", [pattern for pattern in PAGES if "conversation_id" in pattern])
def test_nobody_sees_the_conversation_of_another(client: Client, pattern: str) -> None:
    talk = Conversation.objects.create(user=User.objects.create_user("ann"), title="t", model="m")
    Message.objects.create(conversation=talk, role="user", content="a secret")
    path = path_of(pattern).replace(SAMPLES["uuid"], str(talk.pk))
    for other in (User.objects.create_user("bob"), User.objects.create_superuser("boss")):
        client.force_login(other)
        assert {client.get(path).status_code, client.post(path).status_code} <= {404, 405}
    assert Conversation.objects.get().title == "t"


@pytest.mark.django_db
def test_managers_see_what_their_group_says_and_nothing_else(client: Client) -> None:
    user = User.objects.create_user("manager", is_staff=True)
    group = Group.objects.get(name=MANAGERS)
    user.groups.add(group)
    client.force_login(user)
    allowed = {f"{each.content_type.app_label}.{each.codename}" for each in group.permissions.all()}
    for model in admin.site._registry:
        label, name = model._meta.app_label, model._meta.model_name
        for kind, path in (("view", f"/admin/{label}/{name}/"), ("add", f"/admin/{label}/{name}/add/")):
            has_page = kind == "view" or f"{label}.add_{name}" in allowed
            expected = 200 if f"{label}.{kind}_{name}" in allowed and has_page else 403
            assert client.get(path).status_code == expected, path


def scope_expected(path: str, method: str) -> str:
    """The scope that a request needs, told another way than the door tells it."""
    if path.startswith("/v1/responses"):
        return "generate"
    parts = path.split("/")
    if parts[1] in {"rest", "graphql"}:
        if method == "GET":
            return "read"
        owned = {"conversations", "messages", "attachments"} & set(parts)
        return "generate" if owned else "read" if parts[1] == "graphql" else "manage"
    if any(part in parts for part in MANAGING) or method == "DELETE":
        return "manage"
    return "read" if (method, path) == ("POST", "/api/show") or method == "GET" else "generate"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("pattern", API)
async def test_the_api_opens_to_the_right_key_alone(settings: Any, pattern: str) -> None:
    network, path = Door(settings, "0.0.0.0"), path_of(pattern)
    boss = await User.objects.acreate(username="boss", is_staff=True)
    tokens = {
        scope: (await sync_to_async(key_create)(user=boss, name=scope, scopes=[scope]))[1]
        for scope in Scope.values
    }
    for method in ("GET", "POST", "DELETE"):
        assert (await network.ask(method, path))[0] == 401
        assert (await network.ask(method, path, authorization=f"Bearer {token_make()}"))[0] == 401
        for scope, token in tokens.items():
            status, _ = await network.ask(method, path, authorization=f"Bearer {token}")
            assert status == (200 if scope == scope_expected(path, method) else 403), (method, scope)
    await ApiKey.objects.all().adelete()
