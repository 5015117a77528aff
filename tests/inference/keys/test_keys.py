"""Keys by themselves: what they look like, what is kept of them, what they open, how often."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from inference.errors import InvalidRequest, NotFound, RateLimited, Unauthorized
from inference.keys.limits import RateLimits
from inference.keys.models import ApiKey
from inference.keys.secrets import token_digest, token_make, token_matches, token_prefix
from inference.keys.selectors import key_authenticate, key_get
from inference.keys.services import key_create, key_revoke, key_touch


@pytest.fixture
def ann(db: None) -> User:
    return User.objects.create_user("ann")


def test_every_token_is_ours_and_none_is_another() -> None:
    tokens = {token_make() for _ in range(100)}
    assert len(tokens) == 100
    assert len({token_prefix(token) for token in tokens}) == 100
    assert all(token_matches(token, token_digest(token)) for token in tokens)
    one, other = list(tokens)[:2]
    assert not token_matches(one, token_digest(other))


@pytest.mark.parametrize(
    "text", ["", "ollama", "sk-1234", "hw_abc", "hw_" + "a" * 51, "hw_abcdefgh_" + "ü" * 43]
)
def test_other_peoples_keys_are_not_ours(text: str) -> None:
    assert token_prefix(text) is None


def test_a_key_opens_and_only_its_hash_is_kept(ann: User) -> None:
    key, token = key_create(user=ann, name="laptop")
    assert key_authenticate(token) == key
    secret = token.rpartition("_")[2]
    stored = ApiKey.objects.values().get()
    assert secret not in str(stored)
    assert token.startswith(f"hw_{stored['prefix']}_")
    assert key.scopes == ["generate", "read"]


def test_a_wrong_secret_opens_nothing(ann: User) -> None:
    _, token = key_create(user=ann, name="laptop")
    for wrong in (token[:-1] + ("a" if token[-1] != "a" else "b"), token_make()):
        with pytest.raises(Unauthorized, match="not known"):
            key_authenticate(wrong)


def test_a_key_ends_by_being_revoked_by_its_date_and_with_its_owner(ann: User) -> None:
    key, token = key_create(user=ann, name="laptop", expires=timezone.now() + timedelta(days=1))
    key_authenticate(token)
    key_revoke(key=key)
    with pytest.raises(Unauthorized, match="revoked"):
        key_authenticate(token)
    ApiKey.objects.update(revoked=None, expires=timezone.now())
    with pytest.raises(Unauthorized, match="expired"):
        key_authenticate(token)
    ApiKey.objects.update(expires=None)
    User.objects.update(is_active=False)
    with pytest.raises(Unauthorized, match="owner inactive"):
        key_authenticate(token)


@pytest.mark.parametrize(
    "wrong",
    [
        {"scopes": []},
        {"scopes": ["generate", "everything"]},
        {"name": ""},
        {"requests_per_minute": 0},
        {"tokens_per_day": 0},
        {"tokens_per_day": 10**13},
        {"bytes_per_request": 0},
        {"bytes_per_request": 2**45},
        {"allowed_models": [""]},
        {"scopes": ["manage"]},
    ],
)
def test_a_key_that_cannot_be_meant_is_refused(ann: User, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        key_create(**{"user": ann, "name": "laptop", **wrong})
    assert not ApiKey.objects.exists()


def test_names_are_unique_among_a_users_living_keys(ann: User) -> None:
    key, _ = key_create(user=ann, name="laptop")
    with pytest.raises(InvalidRequest, match="has a key of that name"):
        key_create(user=ann, name="laptop")
    key_create(user=User.objects.create_user("bob"), name="laptop")
    key_revoke(key=key)
    key_create(user=ann, name="laptop")


def test_last_used_is_written_once_a_minute(ann: User, django_assert_num_queries: Any) -> None:
    key, _ = key_create(user=ann, name="laptop")
    key_touch(key=key)
    key.refresh_from_db()
    first = key.last_used
    assert first is not None
    with django_assert_num_queries(0):
        key_touch(key=key)
    key.last_used = first - timedelta(seconds=61)
    key_touch(key=key)
    key.refresh_from_db()
    assert key.last_used and key.last_used >= first


def test_a_key_is_found_by_how_it_begins(ann: User) -> None:
    key, token = key_create(user=ann, name="laptop")
    assert key_get(key.prefix) == key_get(f"hw_{key.prefix}…") == key_get(token) == key
    with pytest.raises(NotFound):
        key_get("hw_nothing0")


@given(st.integers(1, 600), st.lists(st.floats(0, 90), max_size=60))
def test_no_minute_lets_more_through_than_twice_the_rate(rate: int, waits: list[float]) -> None:
    """A full bucket and what flows in meanwhile: the bound of any window of a minute."""
    now = 0.0
    limits = RateLimits(lambda: now)
    taken: list[float] = []
    for wait in waits:
        now += wait
        for _ in range(rate):
            try:
                limits.take(1, rate)
            except RateLimited:
                break
            taken.append(now)
    assert all(sum(start <= at < start + 60 for at in taken) <= 2 * rate for start in taken)


def test_a_bucket_is_empty_then_fills_and_is_one_keys_own() -> None:
    now = 0.0
    limits = RateLimits(lambda: now)
    for _ in range(3):
        limits.take(1, 3)
    with pytest.raises(RateLimited, match="20 s"):
        limits.take(1, 3)
    limits.take(2, 3)
    now = 20.0
    limits.take(1, 3)
    with pytest.raises(RateLimited):
        limits.take(1, 3)


def command(*arguments: str) -> Any:
    out = StringIO()
    call_command("apikey", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue().strip()


def test_the_command_makes_lists_and_revokes(ann: User) -> None:
    made = json.loads(
        command(
            *("create", "laptop", "--days", "7", "--model", "smollm2", "--per-minute", "9", "--json"),
            *("--tokens-per-day", "99", "--bytes-per-request", "1000"),
        )
    )
    key = key_authenticate(made["key"])
    assert (key.user, key.allowed_models, key.requests_per_minute) == (ann, ["smollm2"], 9)
    assert key.tokens_per_day == made["tokens_per_day"] == 99
    assert key.bytes_per_request == made["bytes_per_request"] == 1000
    token = command("create", "other", "--user", "ann", "--scope", "read")
    assert key_authenticate(token).scopes == ["read"]
    listed = json.loads(command("list", "--json"))
    assert [(entry["name"], entry["state"]) for entry in listed] == [
        ("other", "active"),
        ("laptop", "active"),
    ]
    assert made["key"] not in json.dumps(listed)
    assert "Revoked" in command("revoke", made["prefix"])
    assert {key["state"] for key in json.loads(command("list", "--user", "ann", "--json"))} == {
        "active",
        "revoked",
    }


def test_the_command_says_what_is_wrong_in_one_line(ann: User) -> None:
    User.objects.create_user("bob")
    for arguments, text in (
        (("create", "x"), "--user"),
        (("create", "x", "--user", "eve"), "no user 'eve'"),
        (("create", "x", "--user", "ann", "--days", "0"), "--days"),
        (("create", "x", "--user", "ann", "--scope", "manage"), "staff"),
        (("revoke", "hw_xxxxxxxx"), "no key"),
    ):
        with pytest.raises(CommandError, match=text):
            command(*arguments)
