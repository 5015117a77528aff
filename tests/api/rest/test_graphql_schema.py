"""Every query that fits GraphQL's schema is answered, with data or an error that clients can act on; every
other one is refused."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from graphql import get_introspection_query
from hypothesis import strategies
from schemathesis.engine import events, from_schema
from schemathesis.graphql import nodes

from tests.api.rest.conftest import PEOPLE, People
from tests.api.rest.everything import MODELS, answer
from tests.api.stage import Stage, open_stage

EXAMPLES = 15
# What may be wrong with a query that fits the schema: ids and names that are nobody's, numbers out of range.
CODES = {"not_found", "model_not_found", "invalid_request"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(tmp_path_factory.mktemp("graphql"), MODELS, PEOPLE) as stage:
        yield stage


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_every_query_is_answered(people: People) -> None:
    people.stage.engine.script = answer
    known = [people.known["boss talk"], people.known["ann talk"]]
    schemathesis.graphql.scalar(
        "UUID", (strategies.sampled_from(known) | strategies.uuids().map(str)).map(nodes.String)
    )
    told = people.ask("boss", "POST", "/graphql", {"query": get_introspection_query()})[1]
    schema = schemathesis.graphql.from_dict(told["data"])
    config = schema.config
    config.base_url = f"{people.stage.server.url}/graphql"
    config.headers = {"Authorization": f"Bearer {people.known['boss']}"}
    config.continue_on_failure = True
    config.generation.update(max_examples=EXAMPLES, deterministic=True, database="none", allow_x00=False)
    config.phases.stateful.enabled = False
    asked: Counter[tuple[str, bool]] = Counter()
    for event in from_schema(schema).execute():
        assert not isinstance(event, events.NonFatalError | events.FatalError), event
        if isinstance(event, events.ScenarioFinished):
            for id, each in event.recorder.interactions.items():
                fits = event.recorder.cases[id].value.meta.generation.mode.is_positive
                asked[event.recorder.label, fits] += 1
                check(each, fits=fits)
    queries = {
        "availableModels",
        "searchModels",
        "modelDetails",
        "providers",
        "conversations",
        "conversation",
    }
    assert {query for query, fits in asked if fits} == {f"Query.{name}" for name in queries}
    assert asked["Query.searchModels", True] > 5 < asked["Query.searchModels", False]


def check(each: Any, *, fits: bool) -> None:
    """Whether it is answered as it should be."""
    answer = json.loads(each.response.content)
    assert each.response.status_code == 200, (each.request.body, answer)
    errors = answer.get("errors", [])
    if fits:
        assert errors or answer["data"], each.request.body
        codes = {error.get("extensions", {}).get("code") for error in errors}
        assert codes <= CODES, (each.request.body, answer)
    else:
        assert errors, (each.request.body, answer)
