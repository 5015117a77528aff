"""A request that only loads its model is checked as any other: nothing wrong is taken in silence."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.stage import HELLO, Stage

TOOLS = "test/tools"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("chat", {"tool_choice": 5}),
        ("chat", {"format": 5}),
        ("chat", {"options": {"temperature": -1}}),
        ("chat", {"tools": [{"function": {}}]}),
        ("chat", {"keep_alive": "1e3"}),
        ("chat", {"keep_alive": "-inf"}),
        ("generate", {"steps": -1}),
        ("generate", {"width": 4097}),
        ("generate", {"images": ["aGk="]}),
        ("generate", {"options": {"num_ctx": 2**63}}),
        ("generate", {"options": {"logit_bias": {"x": 1}}}),
    ],
)
def test_what_is_wrong_is_refused(stage: Stage, path: str, body: dict[str, Any]) -> None:
    status, _, text = stage.post(f"/api/{path}", {"model": TOOLS, **body})
    assert (status, list(json.loads(text))) == (400, ["error"])
    assert stage.engine.requests == []


def test_biases_of_tokens_are_an_option(stage: Stage) -> None:
    body = {"model": TOOLS, "messages": HELLO, "options": {"logit_bias": {"12": 1.5}}}
    assert stage.post("/api/chat", body)[0] == 200
    assert stage.engine.requests[-1].options.logit_bias == {12: 1.5}  # type: ignore[union-attr]
