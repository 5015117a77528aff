"""Every route keeps to its description, whatever is sent: what fits it, and what does not."""

from __future__ import annotations

import contextlib
import json

import hypothesis
import pytest
import schemathesis
from schemathesis import GenerationMode

from tests.api.rest.conftest import People

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
SHORT = hypothesis.settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)
# Pulling asks the Hub, and each example would wait for that it cannot be reached.
LEFT_OUT = {"/rest/models/pull/"}


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_operation_keeps_to_its_description(people: People, mode: GenerationMode) -> None:
    described = json.loads(people.stage.request("GET", "/rest/schema/?format=json")[2])
    schema = schemathesis.openapi.from_dict(described)
    schema.config.base_url = people.stage.server.url
    # What a description cannot say: text holds no NUL.
    schema.config.generation.update(allow_x00=False)
    seen = set()
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path in LEFT_OUT:
            continue
        seen.add(operation.path)

        @SHORT
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        def holds(case: schemathesis.Case) -> None:
            case.call_and_validate(headers={"Authorization": f"Bearer {people.known['boss']}"})

        # Of an operation without parameters there is nothing that does not fit it.
        with contextlib.suppress(hypothesis.errors.Unsatisfiable):
            holds()
    assert len(seen) >= 15
