"""Every route of every API keeps to its description, whatever is sent: what fits it, and what does not.

Schemathesis makes the requests, bounded so that they take seconds; ``SCHEMATHESIS_EXAMPLES=200`` asks
for more of each operation, and for every one of the systematic cases.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import strategies
from schemathesis.engine import events, from_schema

from tests.api.rest.conftest import People
from tests.api.rest.everything import ABLE, DRAWS, MODELS, answer
from tests.serving import run_python

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
MORE = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "0"))
EXAMPLES = MORE or 6
# Pulling asks the Hub, and each example would wait for that it cannot be reached.
LEFT_OUT = "^/(rest/models/pull/|api/pull)$"
# So many fields that the systematic cases, each of which differs in one, are hundreds.
WIDE = (
    "^/(api/(chat|generate|embed|embeddings|create)|v1/(chat/|completions|messages|responses|images/).*"
    "|stream-message|rest/aliases/.*)$"
)
CHAPTERS = {
    "ollama": "^/(api/.*)?$",
    "openai": "^/v1/(?!messages)",
    "anthropic": "^/v1/messages",
    "rest": "^/rest/",
    "others": "^/(health|metrics|graphql|stream-message|attachments)",
}
# What a description cannot say, by what is then told: how fields depend on each other, what is in files,
# and that whole numbers are written as such.
BEYOND = re.compile(
    r"got `float`|digest mismatch|tool_choice names no tool|raw mode does not support|does not support"
    r"|needs a function with a name|A message needs content|blocks? (?:of type|missing|are taken)"
    r"|invalid role: ''|invalid image (?:source|input)|[iI]mages must be|Sounds must be"
    r"|no picture that can be read|cannot see pictures|Write something first|\"invalid input\"|A prompt is"
    r"|top_logprobs needs|An image needs|best_of|json_schema needs|A tool needs|same name|At most [0-9]+ "
    r"|no tools? |needs the name|is not an image|Audio needs|not base64|file is empty|invalid model name"
    r"|invalid tool call arguments"
)
LINES = "application/x-ndjson"
# Nor that text is a program.
TEMPLATES = ("", "{% for message in messages %}{{ message.content }}{% endfor %}")
schemathesis.openapi.format("jinja", strategies.sampled_from(TEMPLATES))


@schemathesis.deserializer(LINES)
def _lines(context: Any, response: Any) -> list[Any]:
    return [json.loads(line) for line in response.content.splitlines()]


@schemathesis.deserializer("text/event-stream")
def _events(context: Any, response: Any) -> list[Any]:
    """What Schemathesis then holds to the schema one by one."""
    data = [line[6:] for line in response.content.decode().split("\n") if line.startswith("data: ")]
    return [json.loads(text) for text in data if text != "[DONE]"]


def references(value: Any) -> Iterator[str]:
    """The components that ``value`` refers to."""
    if isinstance(value, dict):
        if isinstance(name := value.get("$ref"), str):
            yield name.rpartition("/")[2]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def sharpened(described: dict[str, Any]) -> dict[str, Any]:
    """The description for this server: its models, lines as a list of their frames, answers without more
    than is described."""
    answers = set()
    for path, operations in described["paths"].items():
        for operation in operations.values():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                fields = content["schema"].get("properties", {})
                if "model" in fields and "model" in content["schema"].get("required", ()):
                    fields["model"] = {"enum": [DRAWS if "/images/" in path else ABLE]}
            for response in operation["responses"].values():
                for media, content in response.get("content", {}).items():
                    answers |= set(references(content))
                    if media == LINES:
                        content["schema"] = {"type": "array", "items": content["schema"]}
    components = described["components"]["schemas"]
    todo = [*answers]
    while todo:
        schema = components[todo.pop()]
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
        found = set(references(schema)) - answers
        answers |= found
        todo += found
    return described


def is_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Whether ``failure`` is one: valid data may be refused where nothing is ever accepted, or for what
    is beyond any description; and a form has no null and no empty list, so that what violates the
    description may not be in it."""
    if type(failure).__name__ == "AcceptedNegativeData":
        return case.media_type != "multipart/form-data"
    if type(failure).__name__ != "RejectedPositiveData":
        return True
    accepts = any(status.startswith("2") for status in case.operation.definition.raw["responses"])
    return accepts and not BEYOND.search(response.content.decode())


@pytest.mark.parametrize("chapter", CHAPTERS)
@pytest.mark.timeout(1800 if MORE else 300)
def test_every_operation_keeps_to_its_description(people: People, chapter: str) -> None:
    run_python(MODELS, people.stage.server.home)
    people.stage.engine.script = answer
    described = sharpened(json.loads(people.stage.request("GET", "/rest/schema/?format=json")[2]))
    whole = schemathesis.openapi.from_dict(described)
    whole.hook("filter_failure")(is_failure)
    seen, wrong = _tried(people, whole.include(_paths(chapter, wide=False)), systematic=True)
    seen_wide, wrong_wide = _tried(people, whole.include(_paths(chapter, wide=True)), systematic=bool(MORE))
    assert not (wrong or wrong_wide), "\n\n".join((wrong + wrong_wide)[:30])
    left_out = re.compile(LEFT_OUT)
    expected = {
        f"{method.upper()} {path}"
        for path, operations in described["paths"].items()
        for method in operations
        if re.search(CHAPTERS[chapter], path) and not left_out.search(path)
    }
    assert seen | seen_wide == expected


def _paths(chapter: str, *, wide: bool) -> Callable[[Any], bool]:
    """Whether an operation is one of the chapter's, of the wide ones or of the others."""

    def chosen(context: Any) -> bool:
        path = context.operation.path
        is_asked = re.search(CHAPTERS[chapter], path) and not re.search(LEFT_OUT, path)
        return bool(is_asked) and bool(re.search(WIDE, path)) == wide

    return chosen


def _tried(people: People, schema: Any, *, systematic: bool) -> tuple[set[str], list[str]]:
    """The operations that were tried, and all that they did wrong."""
    token = "a" * 32
    config = schema.config
    config.base_url = people.stage.server.url
    config.headers = {
        "Authorization": f"Bearer {people.known['boss']}",
        "Cookie": f"{people.known['cookie']}; hugweb_csrf={token}",
        "X-CSRFToken": token,
    }
    config.continue_on_failure = True
    config.generation.with_security_parameters = False
    # What a description cannot say: text holds no NUL.
    config.generation.update(max_examples=EXAMPLES, deterministic=True, database="none", allow_x00=False)
    config.phases.coverage.enabled = systematic
    # What is asked must not hang on what was answered before.
    config.phases.fuzzing.extra_data_sources.responses = False
    config.phases.fuzzing.error_feedback.is_enabled = False
    config.phases.stateful.enabled = config.phases.examples.enabled = False
    seen: set[str] = set()
    wrong: list[str] = []
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            wrong.append(f"{event!r}")
        elif isinstance(event, events.ScenarioFinished) and event.recorder.interactions:
            seen.add(event.recorder.label)
            wrong += list(_failures(event.recorder))
    return seen, wrong


def _failures(recorder: Any) -> Iterator[str]:
    for case, checks in recorder.checks.items():
        for failure in (check.failure_info.failure for check in checks if check.failure_info):
            request, response = recorder.interactions[case].request, recorder.interactions[case].response
            yield (
                f"{recorder.label}: {failure.title}\n{failure.message[:600]}\n"
                f"{request.method} {request.uri} {(request.body or b'')[:600]!r}\n"
                f"→ {response and (response.status_code, (response.content or b'')[:300])}"
            )
