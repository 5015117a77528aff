"""GraphQL: models of all providers, one's own conversations, and limits on what can be asked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from graphql import get_introspection_query
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from inference.errors import InferenceError
from tests.api.rest.conftest import NOTE, People, people, running
from tests.serving import MODEL

__all__ = ["people", "running"]
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
    one = "query ($id: UUID!) { conversation(id: $id) { title messages { role content thinking note } } }"
    data, _ = ask(people, one, "ann", id=people.known["ann talk"])
    said = data["conversation"]["messages"]
    assert [(message["content"], message["note"]) for message in said] == [("ann asks", ""), ("yes", NOTE)]
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


@pytest.mark.parametrize("depth", [33, 950, 960, 970, 980])
@pytest.mark.parametrize("name", ["variables", "junk"])
def test_what_is_nested_too_deeply_is_a_clients_mistake(people: People, name: str, depth: int) -> None:
    deep = '{"a":' * depth + "1" + "}" * depth
    body = f'{{"query": "{{ availableModels {{ name }} }}", "{name}": {deep}}}'
    expected = {200, 400} if name == "junk" else {400}
    assert people.stage.request("POST", "/graphql", body.encode())[0] in expected


def test_the_introspection_of_tools_is_answered(people: People) -> None:
    data, errors = ask(people, get_introspection_query())
    assert errors == []
    assert "availableModels" in str(data)


WORDS = (
    "availableModels searchModels modelDetails conversations conversation name size metadata capabilities"
    " messages __schema __type __typename types fields ofType é"
)
NAMES = st.sampled_from(WORDS.split(" "))
VALUES = st.sampled_from(
    ['"x"', "1", "-1", "1e400", "9" * 40, "null", "true", "RED", "$v", "[[1]]", '{a: {b: "c"}}', '"""']
)
ARGUMENTS = st.lists(
    st.tuples(st.sampled_from(["provider", "query", "modelName", "id", "limit", "offset", "name"]), VALUES),
    max_size=2,
).map(lambda pairs: f"({', '.join(f'{name}: {value}' for name, value in pairs)})" if pairs else "")
FIELDS = st.tuples(
    st.sampled_from(["", "a: ", "é: "]), NAMES, ARGUMENTS, st.sampled_from(["", "@skip(if: $v)", "@x"])
).map("".join)
SELECTIONS = st.recursive(
    FIELDS | st.sampled_from(["...F", "... on Query { name }"]),
    lambda inner: st.tuples(FIELDS, st.lists(inner, min_size=1, max_size=4)).map(
        lambda pair: f"{pair[0]} {{ {' '.join(pair[1])} }}"
    ),
    max_leaves=12,
)
VARIABLES = st.sampled_from([None, {}, {"v": None}, {"v": [1]}, {"v": 2**70}, {"v": {}}, {"w": "\x00"}])
ENDS = ["", " fragment F on Query { ...F name }", " fragment F on Nope { x }", " query Q { x }"]
MANY = " ".join(f"a{number}: __typename" for number in range(50))


@given(
    kind=st.sampled_from(["", "query Q($v: Int) ", "query ($v: Nope!) ", "mutation ", "subscription ", "{"]),
    selection=SELECTIONS,
    end=st.sampled_from(ENDS),
    variables=VARIABLES,
    operation=st.sampled_from([None, "Q", "", "nope"]),
)
@example(kind="", selection="a { " * 50 + "}" * 50, end="", variables=None, operation=None)
@example(
    kind="",
    selection=" ".join(f"a{n}: __typename" for n in range(50)),
    end="",
    variables=None,
    operation=None,
)
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_odd_queries_are_answered_or_refused(
    people: People, kind: str, selection: str, end: str, variables: Any, operation: str | None
) -> None:
    body = {"query": f"{kind}{{ {selection} }}{end}", "variables": variables, "operationName": operation}
    status, answer = people.ask("ann", "POST", "/graphql", body)
    assert status in {200, 400}, answer
    assert InferenceError().message not in json.dumps(answer)
