"""A provider that is switched off refuses in every dialect, from the next request on."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.rest.conftest import People, people, running
from tests.serving import MODEL, run_python

__all__ = ["people", "running"]
SAID = [{"role": "user", "content": "now"}]
ASKED: dict[str, dict[str, Any]] = {
    "/api/chat": {"messages": SAID, "stream": False},
    "/api/generate": {"prompt": "now"},
    "/api/embed": {"input": "now"},
    "/v1/chat/completions": {"messages": SAID, "stream": True},
    "/v1/completions": {"prompt": "now"},
    "/v1/embeddings": {"input": "now"},
    "/v1/responses": {"input": "now"},
    "/v1/messages": {"messages": SAID, "max_tokens": 9},
    "/stream-message": {"message": "now"},
}
SWITCH = """
import django; django.setup()
from inference.models import ProviderConfig
ProviderConfig.objects.update_or_create(name="huggingface", defaults={{"enabled": {on}, "priority": 7}})
"""


def switch(people: People, *, on: bool) -> None:
    """From another process, as an admin of another server would."""
    run_python(SWITCH.format(on=on), people.stage.server.home)


@pytest.fixture
def closed(people: People) -> Any:
    switch(people, on=False)
    yield
    switch(people, on=True)


def test_every_dialect_refuses_and_nothing_is_listed(people: People, closed: None) -> None:
    for path, body in ASKED.items():
        status, answer = people.ask("ann", "POST", path, {"model": MODEL, **body})
        assert status == 403, (path, answer)
        assert "The provider 'huggingface' is switched off." in str(answer)
    assert people.ask("", "GET", "/api/tags")[1]["models"] == []
    assert people.ask("", "GET", "/v1/models")[1]["data"] == []
    assert people.ask("boss", "POST", "/rest/models/1/load/")[0] == 403
    assert people.ask("", "GET", "/health/models")[1]["providers"]["huggingface"]["status"] == "disabled"


def test_rest_and_graphql_tell_what_is_set(people: People, closed: None) -> None:
    (provider,) = people.ask("", "GET", "/rest/providers/")[1]["results"]
    assert provider | {"loaded": None} == {
        "name": "huggingface",
        "enabled": False,
        "priority": 7,
        "healthy": True,
        "loaded": None,
    }
    assert people.ask("", "GET", "/rest/providers/huggingface/")[1] == provider
    query = {"query": "{ providers { name enabled priority healthy } }"}
    (told,) = people.ask("", "POST", "/graphql", query)[1]["data"]["providers"]
    assert told == {"name": "huggingface", "enabled": False, "priority": 7, "healthy": True}


def test_it_answers_again_when_it_is_switched_on(people: People) -> None:
    switch(people, on=False)
    switch(people, on=True)
    status, _ = people.ask("ann", "POST", "/api/chat", {"model": MODEL, **ASKED["/api/chat"]})
    assert status == 200
