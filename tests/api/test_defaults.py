"""Every dialect asks an alias by its defaults, whoever wrote it."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import AsyncClient

from aliases.models import Alias
from aliases.target import JSON_ONLY
from inference.models import ModelRecord
from inference.protocol import Generate
from tests.fakes import FakeEngine

pytestmark = pytest.mark.django_db(transaction=True)

SAID = [{"role": "user", "content": "now"}]
BODIES: dict[str, dict[str, Any]] = {
    "/api/chat": {"messages": SAID, "stream": False},
    "/api/generate": {"prompt": "now", "stream": False},
    "/v1/chat/completions": {"messages": SAID},
    "/v1/responses": {"input": "now"},
    "/v1/messages": {"messages": SAID, "max_tokens": 9},
}


@pytest.fixture(autouse=True)
def alias(transactional_db: None) -> None:
    ModelRecord.objects.create(
        name="org/model",
        source="hub",
        folder="m",
        architecture="llama",
        digest="0",
        capabilities=["completion"],
    )
    Alias.objects.create(
        name="small",
        model="org/model",
        system="Be brief.",
        messages=[{"role": "user", "content": "before"}, {"role": "assistant", "content": "yes"}],
        options={"temperature": 0.5, "min_p": 0.2},
        json_mode=True,
        keep_alive="1h",
    )


@pytest.mark.parametrize("path", BODIES)
async def test_each_dialect_asks_by_the_aliass_defaults(engine: FakeEngine, path: str) -> None:
    answer = await AsyncClient().post(
        path, {"model": "small", **BODIES[path]}, content_type="application/json"
    )
    assert answer.status_code == 200, answer.content
    (asked,) = engine.requests
    assert isinstance(asked, Generate)
    assert [message.content for message in asked.messages] == [
        f"Be brief.\n\n{JSON_ONLY}",
        "before",
        "yes",
        "now",
    ]
    assert (asked.format, asked.keep_alive, asked.options.min_p) == ("json", 3600.0, 0.2)
    assert (asked.model.name, asked.model.id) == ("small", "org/model")
