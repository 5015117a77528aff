"""The description names every route with each of its methods, and nothing that does not exist."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from django.urls import get_resolver
from django.urls.resolvers import URLPattern, URLResolver

from hugweb.api.ollama.requests import ChatBody
from tests.api.rest.conftest import People
from tests.api.stage import Stage

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
# What people look at: Django's admin, the chat, logging in, one's usage, and the page of this description.
PAGES = ("/admin/", "/chat/", "/models/", "/login/", "/logout/", "/usage/", "/rest/docs/")
FILLED = {"uuid": "5f0c1c56-0a1b-4c8f-9a55-7d0a8f3f6c11", "int": "999", "str": "x", "path": "x/y"}


@pytest.fixture(scope="module")
def described(running: Stage) -> dict[str, Any]:
    return json.loads(running.request("GET", "/rest/schema/?format=json")[2])


def addresses(patterns: list[URLPattern | URLResolver], before: str = "/") -> list[str]:
    """Every address of the URL configuration that is no page, with what stands in it as Django says it."""
    found: list[str] = []
    for pattern in patterns:
        address = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            found += addresses(pattern.url_patterns, address)
        elif not address.startswith((*PAGES, "/^")):
            found.append(address)
    return found


ADDRESSES = addresses(get_resolver().url_patterns)


def as_described(address: str) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", address).replace("{pk}", "{id}")


def filled(address: str) -> str:
    return re.sub(r"<(?:(\w+):)?\w+>", lambda match: FILLED[match[1] or "str"], address)


def test_every_route_is_described_and_nothing_else(described: dict[str, Any]) -> None:
    assert {as_described(address) for address in ADDRESSES} == set(described["paths"])
    assert len(ADDRESSES) > 60


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_route_has_the_methods_that_are_described(
    people: People, described: dict[str, Any], address: str
) -> None:
    def ask(method: str) -> tuple[int, Any]:
        return people.stage.request(method, filled(address), b"{}", headers)[:2]

    token = "a" * 32
    headers = {
        "Authorization": f"Bearer {people.known['boss']}",
        "Cookie": f"{people.known['cookie']}; hugweb_csrf={token}",
        "X-CSRFToken": token,
    }
    known = {method.upper() for method in described["paths"][as_described(address)]}
    for method in METHODS:
        status, told = ask(method)
        assert (status != 405) == (method in known), (method, status)
        if status == 405:
            allowed = set(re.findall(r"\w+", told["Allow"])) - {"OPTIONS"}
            assert allowed - {"HEAD"} == known - {"HEAD"}
            assert method not in allowed
    status = ask("HEAD")[0]
    assert (status == 405) or {"HEAD", "GET"} & known


def test_it_comes_as_yaml_and_as_json(stage: Stage) -> None:
    _, headers, text = stage.request("GET", "/rest/schema/")
    assert headers["Content-Type"] == "application/vnd.oai.openapi"
    assert text.startswith(b"openapi: 3.1")
    _, headers, text = stage.request("GET", "/rest/schema/", headers={"Accept": "application/json, */*"})
    assert headers["Content-Type"] == "application/json"
    assert [tag["name"] for tag in json.loads(text)["tags"]][:3] == ["Ollama", "OpenAI", "Anthropic"]
    assert stage.request("GET", "/rest/schema/?format=xml")[0] == 400


def test_bodies_are_described_by_the_structs_that_check_them(described: dict[str, Any]) -> None:
    body = described["paths"]["/api/chat"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(body["properties"]) == {field.encode_name for field in msgspec.structs.fields(ChatBody)}
    assert body["required"] == ["model"]
    assert {"const": ""} in body["properties"]["stream"]["anyOf"]
    answers = described["paths"]["/api/chat"]["post"]["responses"]
    assert set(answers["200"]["content"]) == {"application/json", "application/x-ndjson"}
    failure = answers["4XX"]["content"]["application/json"]["schema"]
    assert described["components"]["schemas"][failure["$ref"].rpartition("/")[2]]["required"] == ["error"]
