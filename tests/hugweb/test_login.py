"""Logging in: how often a password may be guessed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from hugweb import login
from inference.keys.limits import RateLimits


@pytest.fixture(autouse=True)
def hashing(settings: Any) -> None:
    """A hash that takes no time: passwords are tried here by the dozen."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def attempts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody has tried yet, and no time goes by."""
    monkeypatch.setattr(login, "ATTEMPTS", RateLimits(lambda: 0.0))
    yield


def log_in(name: str, password: str, address: str = "10.0.0.1") -> str:
    """Where the log-in leads, or what it says."""
    given = {"username": name, "password": password}
    answer = Client(REMOTE_ADDR=address).post("/login/", given)
    return answer.headers.get("Location") or answer.content.decode()


def test_a_password_is_not_looked_at_once_too_many_were_wrong(db: None) -> None:
    User.objects.create_user("ann", password="the right one")
    for n in range(login.OF_BOTH):
        assert "Too many" not in log_in("ann", f"wrong {n}")
    assert "Too many attempts. Try again in 6 s." in log_in("Ann", "the right one")
    assert log_in("ann", "the right one", "10.0.0.2") == "/chat/"


def test_neither_many_names_nor_many_addresses_get_around_it(db: None) -> None:
    for n in range(login.OF_ONE):
        assert "Too many" not in log_in(f"name{n}", "x", "10.0.0.3")
        assert "Too many" not in log_in("bob", "x", f"10.0.1.{n}")
    assert "Too many" in log_in("somebody", "x", "10.0.0.3")
    assert "Too many" in log_in("bob", "x", "10.0.2.1")


def test_one_address_cannot_have_the_others_forgotten(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.keys.limits.MOST_BUCKETS", 3 * login.OF_ONE)
    for n in range(2 * login.OF_ONE):
        said = log_in(f"name{n}", "x")
    assert "Too many" in said
    assert "Too many" in log_in("ann", "x")
