"""Each kind of refusal of each API is described, with its body and the header that says what to do next."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from inference.protocol import Failed
from tests.api.rest.conftest import People
from tests.api.stage import Stage
from tests.serving import MODEL

ASKED: dict[str, dict[str, Any]] = {
    "/api/chat": {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]},
    "/v1/chat/completions": {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]},
    "/v1/messages": {"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]},
}
HEADERS = {401: "WWW-Authenticate", 405: "Allow", 429: "Retry-After", 503: "Retry-After"}


@pytest.fixture(scope="module")
def description(running: Stage) -> dict[str, Any]:
    return json.loads(running.request("GET", "/rest/schema/?format=json")[2])


@pytest.fixture(scope="module")
def weak(running: Stage) -> dict[str, str]:
    """Keys of ann's: one that may only read, one that may ask once a minute, and one that is none."""
    known = json.loads(running.told)
    people = People(running, known)

    def made(**fields: Any) -> str:
        status, key = people.ask("cookie", "POST", "/rest/keys/", fields)
        assert status == 201, key
        return key["token"]

    return {
        "reader": made(name="reader", scopes=["read"]),
        "slow": made(name="slow", requests_per_minute=1),
        "forged": known["ann"][:-1] + ("a" if known["ann"][-1] != "a" else "b"),
    }


class Asking:
    """Asks, and holds what comes to the description."""

    def __init__(self, people: People, description: dict[str, Any]) -> None:
        self._people, self._description = people, description

    def __call__(
        self, method: str, path: str, body: Any = None, key: str = "", route: str = "", **headers: str
    ) -> int:
        headers = {
            "Content-Type": "application/json",
            **({"Authorization": f"Bearer {key}"} if key else {}),
            **headers,
        }
        status, answered, text = self._people.stage.request(method, path, body, headers)
        described = self._described(method, route or path, status)
        (media,) = described["content"]
        assert answered["Content-Type"].startswith(media)
        schema = described["content"][media]["schema"] | {"components": self._description["components"]}
        Draft202012Validator(schema).validate(json.loads(text))
        for name, header in described.get("headers", {}).items():
            assert answered[name] or not header["required"], (status, name)
        assert not (name := HEADERS.get(status)) or name in described["headers"]
        return status

    def _described(self, method: str, path: str, status: int) -> Any:
        operations = self._description["paths"][path]
        # What is refused as a method that there is not has no operation of its own.
        responses = operations.get(method.lower(), next(iter(operations.values())))["responses"]
        described = responses.get(str(status)) or responses[f"{status // 100}XX"]
        if name := described.get("$ref", "").rpartition("/")[2]:
            return self._description["components"]["responses"][name]
        return described


@pytest.fixture
def asking(people: People, description: dict[str, Any]) -> Asking:
    return Asking(people, description)


@pytest.mark.parametrize("path", ASKED)
def test_refusals_of_each_dialect_are_described(
    people: People, asking: Asking, weak: dict[str, str], path: str
) -> None:
    body = ASKED[path]
    assert asking("POST", path, b"{") == 400
    assert asking("POST", path, body, weak["forged"]) == 401
    assert asking("POST", path, body, weak["reader"]) == 403
    assert asking("POST", path, {**body, "model": "none"}) == 404
    assert asking("DELETE", path) == 405
    assert asking("POST", path, {**body, "more": [0] * 400_001}) == 413
    assert {asking("POST", path, {**body, "model": "none"}, weak["slow"]) for _ in "ab"} <= {404, 429}
    assert asking("POST", path, body, weak["slow"]) == 429
    people.stage.plays(Failed(code="busy", message="Too busy."))
    assert asking("POST", path, body) == 503
    people.stage.plays(Failed(code="load_failed", message="It cannot be loaded."))
    assert asking("POST", path, body) == 500


def test_refusals_of_our_own_api_are_described(people: People, asking: Asking, weak: dict[str, str]) -> None:
    body = {"name": "refused", "model": MODEL}
    boss, ann = people.known["boss"], people.known["ann"]
    assert asking("POST", "/rest/aliases/", b"{", boss) == 400
    assert asking("GET", "/rest/keys/") == 401
    assert asking("POST", "/rest/aliases/", body, weak["forged"]) == 401
    assert asking("POST", "/rest/aliases/", body, ann) == 403
    assert asking("GET", "/rest/models/999999/", route="/rest/models/{id}/") == 404
    assert asking("DELETE", "/rest/aliases/", key=boss) == 405
    assert asking("GET", "/rest/aliases/", Accept="text/csv") == 406
    assert asking("POST", "/rest/aliases/", b"<a/>", boss, **{"Content-Type": "text/xml"}) == 415
    asking("GET", "/rest/usage/?of=all", key=weak["slow"], route="/rest/usage/")
    assert asking("GET", "/rest/usage/?of=all", key=weak["slow"], route="/rest/usage/") == 429
    people.stage.plays(Failed(code="busy", message="Too busy."))
    models = people.ask("boss", "GET", "/rest/models/")[1]["results"]
    path = f"/rest/models/{models[0]['id']}/load/"
    assert asking("POST", path, key=boss, route="/rest/models/{id}/load/") == 503
