"""Two who write at once: what each has said stays, and neither gets an error of the server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from aliases.models import Alias
from inference.keys.models import ApiKey
from inference.models import ModelRecord


@pytest.fixture
def boss(client: Client, db: None) -> User:
    boss = User.objects.create_superuser("boss")
    client.force_login(boss)
    return boss


@contextmanager
def somebody_else(at: str, change: Callable[[], object], *, after: bool) -> Iterator[None]:
    """Let ``change`` happen before or ``after`` the first statement that begins with ``at``."""
    pending = [change]

    def between(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        mine = pending.pop if sql.startswith(at) and pending else None
        if mine and not after:
            mine()()
        result = execute(sql, *rest)
        if mine and after:
            mine()()
        return result

    with connection.execute_wrapper(between):
        yield
    assert not pending


def patched(client: Client, alias: Alias) -> Any:
    return client.patch(
        f"/rest/aliases/{alias.pk}/", {"system": "Be brief."}, content_type="application/json"
    )


READ = 'SELECT "aliases_alias"."id", "aliases_alias"."name"'


def test_what_another_has_changed_meanwhile_stays(client: Client, boss: User) -> None:
    alias = Alias.objects.create(name="small", model="org/model")
    theirs = Alias.objects.filter(pk=alias.pk)
    with somebody_else(READ, lambda: theirs.update(description="theirs"), after=True):
        answer = patched(client, alias)
    assert (answer.status_code, answer.json()["description"]) == (200, "theirs")
    alias.refresh_from_db()
    assert (alias.system, alias.description) == ("Be brief.", "theirs")


def test_what_another_has_deleted_meanwhile_stays_deleted(client: Client, boss: User) -> None:
    alias = Alias.objects.create(name="small", model="org/model")
    with somebody_else(READ, lambda: Alias.objects.all().delete(), after=True):
        assert patched(client, alias).status_code == 404
    assert not Alias.objects.exists()


def test_a_name_that_another_has_just_taken_is_a_mistake_of_the_request(client: Client, boss: User) -> None:
    ModelRecord.objects.create(name="org/model", source="store", folder="x", architecture="llama")
    theirs = Alias(name="SMALL", model="org/model")
    with somebody_else('INSERT INTO "aliases_alias"', theirs.save, after=False):
        answer = client.post(
            "/rest/aliases/", {"name": "small", "model": "org/model"}, content_type="application/json"
        )
    assert answer.status_code == 400
    assert "already" in answer.json()["error"]["message"]


def test_a_keys_name_that_has_just_been_taken_is_one_too(client: Client, boss: User) -> None:
    theirs = ApiKey(user=boss, name="ci", prefix="theirs", scopes=["read"])
    table = ApiKey._meta.db_table
    with somebody_else(f'INSERT INTO "{table}"', theirs.save, after=False):
        answer = client.post("/rest/keys/", {"name": "ci"}, content_type="application/json")
    assert answer.status_code == 400
