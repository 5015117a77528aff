"""GraphQL: models of all providers, one's own conversations, and limits on what can be asked."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import get_introspection_query

from tests.api.rest.conftest import People, known, people
from tests.serving import MODEL

__all__ = ["known", "people"]
INFO = """
name provider displayName description
capabilities { supportsVision supportsStreaming maxContextLength supportedLanguages }
metadata { size parameters architecture license lastUpdated }
"""


def ask(people: People, query: str, who: str = "", **variables: Any) -> tuple[Any, list[Any]]:
    """The data and the errors of the answer."""
    status, answer = people.ask(who, "POST", "/graphql", {"query": query, "variables": variables})
    assert status == 200, answer
    return answer.get("data"), answer.get("errors", [])


def test_available_models_are_those_of_all_providers_with_their_aliases(people: People) -> None:
    body = {"name": "pal", "model": "test/vision", "description": "sees"}
    assert people.ask("boss", "POST", "/rest/aliases/", body)[0] == 201
    data, errors = ask(people, f"{{ availableModels {{ {INFO} }} }}")
    assert errors == []
    found = {model["name"]: model for model in data["availableModels"]}
    assert len(found) == 9
    assert found["pal"] | {"metadata": None} == {
        "name": "pal",
        "provider": "huggingface",
        "displayName": "pal",
        "description": "sees",
        "capabilities": {
            "supportsVision": True,
            "supportsStreaming": True,
            "maxContextLength": 2048,
            "supportedLanguages": None,
        },
        "metadata": None,
    }
    assert found[MODEL]["metadata"]["size"] == 270_000_000
    none, _ = ask(people, '{ availableModels(provider: "ollama") { name } }')
    assert none == {"availableModels": []}


def test_models_are_searched_and_described(people: People) -> None:
    data, _ = ask(people, "query ($q: String!) { searchModels(query: $q) { name } }", q="TEST Tool")
    assert [model["name"] for model in data["searchModels"]] == ["test/tools"]
    data, _ = ask(people, f'{{ modelDetails(modelName: "{MODEL}") {{ {INFO} model tasks aliases loaded }} }}')
    details = data["modelDetails"]
    assert (details["model"], details["tasks"], details["loaded"]) == (MODEL, ["completion"], False)
    data, errors = ask(people, '{ modelDetails(modelName: "nobody") { name } }')
    assert data is None
    assert errors[0]["message"] == "model 'nobody' not found"
    assert errors[0]["extensions"] == {"code": "model_not_found"}


def test_conversations_are_one_s_own(people: People) -> None:
    data, _ = ask(people, "{ conversations { id title modelProvider } }", "cookie")
    assert [talk["title"] for talk in data["conversations"]] == ["of ann"]
    one = "query ($id: UUID!) { conversation(id: $id) { title messages { role content } } }"
    data, _ = ask(people, one, "ann", id=people.known["ann talk"])
    assert [message["content"] for message in data["conversation"]["messages"]] == ["ann asks", "yes"]
    for who, code in (("bob", "not_found"), ("boss", "not_found"), ("", "unauthorized")):
        assert ask(people, one, who, id=people.known["ann talk"])[1][0]["extensions"] == {"code": code}
    assert ask(people, "{ conversations(limit: 1000) { id } }", "ann")[1]


@pytest.mark.parametrize(
    "query",
    [
        "{ " + " ".join(f"a{n}: availableModels {{ name }}" for n in range(11)) + " }",
        "{ availableModels { " + "name " * 1001 + "} }",
        "fragment f on ModelInfo { ...f } { availableModels { ...f } }",
        "{ " * 500 + "} " * 500,
        "mutation { x }",
        "{ nothing }",
        "{",
    ],
)
def test_what_is_too_much_or_not_there_is_refused(people: People, query: str) -> None:
    data, errors = ask(people, query)
    assert data is None
    assert errors
    assert "Traceback" not in str(errors)


@pytest.mark.parametrize("body", [b"{", b"[]", b"1", b'{"query": 1}', b"{}", b"[" * 100_000, b"\xff"])
def test_what_is_no_query_is_a_client_s_mistake(people: People, body: bytes) -> None:
    assert people.ask("", "POST", "/graphql", body)[0] == 400


def test_only_posts_are_taken(people: People) -> None:
    assert people.ask("", "GET", "/graphql?query={availableModels{name}}")[0] == 405


def test_fragments_that_double_are_refused_before_they_are_followed(people: People) -> None:
    doubling = "".join(f"fragment f{n} on Provider {{ ...f{n + 1} ...f{n + 1} }} " for n in range(90))
    query = f"{{ providers {{ ...f0 }} }} {doubling} fragment f90 on Provider {{ name }}"
    status, answer = people.ask("", "POST", "/graphql", {"query": query})
    assert (status, answer["error"]["param"]) == (400, "query")


def test_the_introspection_of_tools_is_answered(people: People) -> None:
    data, errors = ask(people, get_introspection_query())
    assert errors == []
    assert "availableModels" in str(data)
