"""Bodies and queries of our own API hold what is described; anything else is a 400 that names it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

from inference.store.names import LONGEST_NAME
from tests.api.rest.conftest import People
from tests.serving import MODEL

Ask = Callable[[dict[str, Any]], tuple[int, Any]]
KINDS: dict[str, Any] = {
    "null": None,
    "true": True,
    "number": 5,
    "fraction": 1.5,
    "digits": "5",
    "text": "\u2028",
    "line": "cpu\n",
    "nul": "a\0b",
    "list": [],
    "object": {},
}
TEXTS = {"digits", "text", "line"}
# What each field takes of these.
OF_ALIASES = {
    **dict.fromkeys(("description", "system", "license"), TEXTS),
    "device": set(),
    "quantization": set(),
    "dtype": set(),
    "model": {"digits"},
    "template": {"text"},
    "keep_alive": {"digits"},
    "json_mode": {"true"},
    "messages": {"list"},
    "fallbacks": {"list"},
    "options": {"object"},
}
OF_NEW_ALIASES = OF_ALIASES | {"name": {"digits"}}
OF_OLD_ALIASES = OF_ALIASES | {
    "enabled": {"true"},
    "visibility": set(),
    "revision": TEXTS,
    "model": {"digits", "line"},
}
OF_KEYS = {
    "name": {"digits", "line"},
    "scopes": set(),
    "allowed_models": {"list"},
    "requests_per_minute": {"null", "number"},
    "tokens_per_day": {"null", "number"},
    "bytes_per_request": {"null", "number"},
    "expires": {"null"},
}


def check_kinds(ask: Ask, fields: dict[str, set[str]]) -> None:
    """Each of ``fields`` takes its kinds of values, and refuses all others by its name."""
    for name, taken in fields.items():
        for kind, value in KINDS.items():
            status, answer = ask({name: value})
            assert (status != 400) == (kind in taken), (name, kind, status, answer)
            assert status != 400 or answer["error"]["param"].split(".")[0] == name, (name, kind, answer)
            # A model of a name that could be one is not there.
            assert status in (200, 201, 400) or (name, status) == ("model", 404), (name, kind, status)


def test_an_alias_holds_only_what_is_described(people: People) -> None:
    def make(fields: dict[str, Any]) -> tuple[int, Any]:
        status, made = people.ask("boss", "POST", "/rest/aliases/", {"name": "k", "model": MODEL} | fields)
        if status == 201:
            people.ask("boss", "DELETE", f"/rest/aliases/{made['id']}/")
        return status, made

    def change(fields: dict[str, Any]) -> tuple[int, Any]:
        return people.ask("boss", "PATCH", path, fields)

    check_kinds(make, OF_NEW_ALIASES)
    made = people.ask("boss", "POST", "/rest/aliases/", {"name": "k", "model": MODEL})[1]
    path = f"/rest/aliases/{made['id']}/"
    check_kinds(change, OF_OLD_ALIASES)


def test_a_key_holds_only_what_is_described(people: People) -> None:
    names = (f"kind {number}" for number in itertools.count())

    check_kinds(
        lambda fields: people.ask("cookie", "POST", "/rest/keys/", {"name": next(names)} | fields), OF_KEYS
    )


def test_a_title_is_text_and_not_only_spaces(people: People) -> None:
    path = f"/rest/conversations/{people.known['ann talk']}/"
    check_kinds(lambda fields: people.ask("ann", "PATCH", path, fields), {"title": {"digits", "line"}})


def test_a_model_to_pull_is_text(people: People) -> None:
    for value in (5, None, True, [], {}, "", "a\0/b"):
        status, answer = people.ask("boss", "POST", "/rest/models/pull/", {"model": value})
        assert (status, answer["error"]["param"]) == (400, "model"), value


@pytest.mark.parametrize(
    "body",
    [
        '{"name": "a", "name": "b c", "model": "m"}',
        '{"name": Infinity}',
        '{"name": -NaN}',
        '{"options": {"seed": 1e400}}',
        '{"options": {"seed": 1' + "0" * 5000 + "}}",
        '{"name": "\\udc00\\ud800"}',
        '{"options": ' + '{"a": ' * 1000 + "1" + "}" * 1001,
        '{"messages": ' + "[" * 1000 + "]" * 1000 + "}",
        '"name"',
        "5",
        "null",
        "",
    ],
)
def test_strange_json_is_a_client_s_mistake(people: People, body: str) -> None:
    status, answer = people.ask("boss", "POST", "/rest/aliases/", body.encode())
    assert (status, answer["error"]["code"]) == (400, "invalid_request")


WRONG_QUERIES = {
    "aliases": ("name=%00", "enabled=5", "enabled=", "page=0", "page=1.0", "page=%D9%A1", "page_size=true"),
    "conversations": (
        "title=",
        "updated_after=5",
        "updated_after=soon",
        "model=" + "x" * (LONGEST_NAME + 1),
        "ordering=user",
    ),
    "messages": ("conversation=5", "conversation=%00", "role=nobody", "status=", "content=%00"),
    "attachments": ("message=x", "unsent=perhaps", "page_size=-1"),
    "models": ("name=%00", "kind=", "page=99999999999999999999", "page_size=%EF%BC%95"),
    "usage": ("by=colour", "days=0", "days=1e9", "days=x", "of=you", "days=" + "9" * 2000),
    "keys": ("revoked=null", "name=" + "x" * 81),
}


@pytest.mark.parametrize("name", WRONG_QUERIES)
def test_parameters_of_a_wrong_kind_are_named(people: People, name: str) -> None:
    for query in WRONG_QUERIES[name]:
        status, answer = people.ask("ann", "GET", f"/rest/{name}/?{query}")
        assert (status, answer["error"]["param"]) == (400, query.partition("=")[0]), query
    assert people.ask("ann", "GET", f"/rest/{name}/?page=1&page_size=5&unknown=%00&x[]=1")[0] == 200


def test_a_filter_may_be_spaces(people: People) -> None:
    assert json.loads(people.stage.request("GET", "/rest/models/?name=%20%1F")[2])["count"] == 0
