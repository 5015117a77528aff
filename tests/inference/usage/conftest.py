"""Somebody, and a way to let days of usage have happened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from inference.asker import Asker
from inference.protocol import Usage
from inference.usage.meter import Measured


@pytest.fixture
def ann(db: None) -> User:
    return User.objects.create_user("ann")


def measured(who: Asker | None = None, *, back: int = 0, **changes: Any) -> Measured:
    """A request that went well ``back`` days ago, but for ``changes``."""
    fields: dict[str, Any] = {
        "created": datetime.now(UTC) - timedelta(days=back),
        "kind": "generate",
        "provider": "huggingface",
        "model": "org/model",
        "alias": "small",
        "who": who or Asker(source="page"),
        "usage": Usage(prompt=10, cached=4, completion=5),
        "first_token_ns": 2_000_000_000,
        "duration_ns": 3_000_000_000,
        "outcome": "done",
    }
    return Measured(**fields | changes)
