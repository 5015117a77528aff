"""Every route of every API keeps to its description, whatever is sent: what fits it, and what does not.

Schemathesis makes the requests, bounded so that they take seconds; ``SCHEMATHESIS_EXAMPLES=200`` asks
for more of each operation, and for every one of the systematic cases.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import strategies
from schemathesis.core import INTERNAL_BUFFER_SIZE as LONGEST_MADE
from schemathesis.engine import events, from_schema

from tests.api.rest.conftest import PEOPLE, People
from tests.api.rest.everything import (
    ABLE,
    DRAWS,
    HUB_FILES,
    MODELS,
    PICTURE,
    PICTURE_URL,
    SOUND,
    answer,
    things,
)
from tests.api.stage import Stage, open_stage
from tests.inference.store.stub_hub import Repo, StubHub
from tests.serving import eventually

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
MORE = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "0"))
EXAMPLES = MORE or 25
# Where the systematic cases, each of which differs in one field, are many, one in so many is tried.
SOME = {
    "^/(api/(chat|generate|embed|embeddings)|v1/(chat/|completions|messages|responses|images/).*"
    "|stream-message|rest/aliases/.*)$": 16,
    "^/rest/[a-z]+/$": 4,
}
CHAPTERS = {
    "ollama": "^/(api/.*)?$",
    "openai": "^/v1/(?!messages)",
    "anthropic": "^/v1/messages",
    "rest": "^/rest/",
    "others": "^/(health|metrics|graphql|stream-message|attachments)",
}
# Why a request that fits its description may yet be refused, and with which words.
EXCUSES = {
    "JSON Schema takes 1.0 for a whole number": r"got `float`",
    "which of several tools is named": r"tool_choice names no tool|there is no tool '",
    "no two of several names may be the same": r"have the same name|is named twice",
    "how two numbers are to each other": r"best_of must be|best_of cannot be",
    "how the fields of a form depend on each other": r"Only the text is streamed",
    "a file is named by its checksum": r"digest mismatch",
    "what a model can do": r"cannot see pictures|with this model",
    "a number in JSON of any form has 64 bits": r"A number in the request is too large",
}
BEYOND = re.compile("|".join(EXCUSES.values()))
LINES = "application/x-ndjson"
HUB_MODEL = "org/tiny"
# What is in a file, since the systematic cases send any bytes; and that a field of a form is not empty.
IN_FORMS = re.compile(
    "(?:Images|Sounds) must be|no picture that can be read|is not an image|file is empty"
    "|(?:model|prompt) is required"
)
# Nor can a description say that text is a program or JSON.
FORMATS = {
    "jinja": ["", "{% for message in messages %}{{ message.content }}{% endfor %}"],
    "arguments": ["{}", '{"a": [1, "b"]}'],
}
FILES = {"image/png": PICTURE, "audio/wav": SOUND}
for name, values in FORMATS.items():
    schemathesis.openapi.format(name, strategies.sampled_from(values))
for name, file in FILES.items():
    schemathesis.openapi.media_type(name, strategies.just(file))


@schemathesis.deserializer(LINES)
def _lines(context: Any, response: Any) -> list[Any]:
    return [json.loads(line) for line in response.content.splitlines()]


@schemathesis.deserializer("text/event-stream")
def _events(context: Any, response: Any) -> list[Any]:
    """What Schemathesis then holds to the schema one by one."""
    data = [line[6:] for line in response.content.decode().split("\n") if line.startswith("data: ")]
    return [json.loads(text) for text in data if text != "[DONE]"]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A server that asks a Hub with one model."""
    folder = tmp_path_factory.mktemp("schema")
    with StubHub({HUB_MODEL: Repo(HUB_FILES)}) as hub:
        env = {"HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "0", "RETRY_DELAY_MS": "20"}
        with open_stage(folder, MODELS, PEOPLE, env=env) as stage:
            yield stage


@pytest.fixture(scope="module")
def there(running: Stage) -> dict[str, object]:
    running.engine.script = answer
    return things(People(running, json.loads(running.told)))


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


def sharpened(described: dict[str, Any], there: dict[str, object]) -> dict[str, Any]:
    """The description for this server: its models, the ids of what is ``there``, files that can be read,
    lines as a list of their frames, answers without more than is described.

    What text is longer than Schemathesis can make is not said: where such a field has a pattern as well,
    breaking its length ends all draws for the operation with an error."""
    answers = set()
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            _sharpen_parameters(path, method, operation, there)
            for media, content in operation.get("requestBody", {}).get("content", {}).items():
                schema = _schema(described, content["schema"])
                _sharpen_fields(path, media, content, schema)
                if "previous_response_id" in schema.get("properties", {}):
                    schema["properties"]["previous_response_id"] = {"enum": [there["/v1/responses/"], None]}
            for response in operation["responses"].values():
                for media, content in response.get("content", {}).items():
                    answers |= set(references(content))
                    if media == LINES:
                        content["schema"] = {"type": "array", "items": content["schema"]}
    _sharpen_answers(described["components"]["schemas"], answers)
    for schema in _all(described):
        if schema.get("contentMediaType") == "application/json":
            schema |= {"format": "arguments"}
        if isinstance(longest := schema.get("maxLength"), int) and longest >= LONGEST_MADE:
            del schema["maxLength"]
    return described


def _schema(described: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    for name in references({"$ref": schema.get("$ref")}):
        return described["components"]["schemas"][name]
    return schema


def _all(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in ``value``."""
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _all(each)


def _sharpen_parameters(path: str, method: str, operation: Any, there: dict[str, object]) -> None:
    """What is asked for is there; what is deleted is not, since it would be gone with the first request."""
    is_lasting = method != "delete" and not path.endswith("/remove/")
    for parameter in operation.get("parameters", ()):
        if parameter["in"] != "path":
            continue
        if is_lasting:
            for beginning, each in there.items():
                if path.startswith(beginning + "{"):
                    parameter["schema"] = {"enum": [each]}
        elif parameter["schema"].get("type") == "integer":
            parameter["schema"]["minimum"] = 1_000_000


def _sharpen_fields(path: str, media: str, content: dict[str, Any], schema: dict[str, Any]) -> None:
    fields = schema.get("properties", {})
    if "model" in fields and "model" in schema.get("required", ()):
        fields["model"] = {"enum": [DRAWS if "/images/" in path else ABLE]}
    if path == "/stream-message":
        fields["model"] = {"enum": [ABLE]}
    if "/pull" in path:
        fields["model"] = {"anyOf": [{"enum": [HUB_MODEL, "org/none"]}, fields["model"]]}
    for name in ("from", "source"):
        if name in fields:
            fields[name] = {"enum": [ABLE]}
    if media == "multipart/form-data":
        kind = "audio/wav" if "/audio/" in path else "image/png"
        files = [name for name, field in fields.items() if field.get("format") == "binary"]
        content["encoding"] = {name: {"contentType": kind} for name in files}
    elif "mask" in fields:
        fields["mask"] = {"enum": [PICTURE_URL, None]}


def _sharpen_answers(components: dict[str, Any], answers: set[str]) -> None:
    todo = [*answers]
    while todo:
        schema = components[todo.pop()]
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
        found = set(references(schema)) - answers
        answers |= found
        todo += found


NUMBERS = itertools.count()


@schemathesis.hook("before_call")
def rename(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Names may be taken only once: each is given a number."""
    body = case.body
    if case.method == "POST" and case.path in ("/rest/aliases/", "/rest/keys/") and isinstance(body, dict):
        name = body.get("name")
        if isinstance(name, str) and 0 < len(name) < 60:
            case.body = {**body, "name": f"{name}{next(NUMBERS)}"}


def is_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Whether ``failure`` is one: valid data may be refused where nothing is ever accepted, or for what
    is beyond any description; and a form has no null and no empty list, so that what violates the
    description may not be in it."""
    if type(failure).__name__ == "AcceptedNegativeData":
        # Which ids are deleted is narrower here than in the description.
        if case.method == "DELETE" and response.status_code == 204:
            return False
        return case.media_type != "multipart/form-data"
    if type(failure).__name__ != "RejectedPositiveData":
        return True
    if case.media_type == "multipart/form-data" and IN_FORMS.search(response.content.decode()):
        return False
    accepts = any(status.startswith("2") for status in case.operation.definition.raw["responses"])
    return accepts and not BEYOND.search(response.content.decode())


@pytest.mark.parametrize("chapter", CHAPTERS)
@pytest.mark.timeout(1800 if MORE else 300)
def test_every_operation_keeps_to_its_description(
    people: People, there: dict[str, object], chapter: str
) -> None:
    people.stage.engine.script = answer
    described = sharpened(json.loads(people.stage.request("GET", "/rest/schema/?format=json")[2]), there)
    whole = schemathesis.openapi.from_dict(described)
    whole.hook("filter_failure")(is_failure)
    seen, wrong = _tried(people, chapter, whole.include(_chosen(CHAPTERS[chapter])))
    assert not wrong, "\n\n".join(wrong[:30])
    assert seen == {
        f"{method.upper()} {path}"
        for path, operations in described["paths"].items()
        for method in operations
        if re.search(CHAPTERS[chapter], path)
    }


def _chosen(pattern: str) -> Callable[[Any], bool]:
    return lambda context: bool(re.search(pattern, context.operation.path))


def _headers(people: People, chapter: str) -> dict[str, str]:
    """As boss: where a session does, by that, since a key may do less."""
    if chapter in ("rest", "others"):
        token = "a" * 32
        return {"Cookie": f"{people.known['boss cookie']}; hugweb_csrf={token}", "X-CSRFToken": token}
    return {"Authorization": f"Bearer {people.known['boss']}"}


def _tried(people: People, chapter: str, schema: Any) -> tuple[set[str], list[str]]:
    """The operations that were tried, and all that they did wrong."""
    config = schema.config
    config.base_url = people.stage.server.url
    config.headers = _headers(people, chapter)
    config.continue_on_failure = True
    config.request_timeout = 60
    config.generation.with_security_parameters = False
    # What a description cannot say: text holds no NUL.
    config.generation.update(max_examples=EXAMPLES, deterministic=True, database="none", allow_x00=False)
    # ``test_description`` tries all others.
    config.phases.coverage.unexpected_methods = {"trace", "query"}
    # What is asked must not hang on what was answered before.
    config.phases.fuzzing.extra_data_sources.responses = False
    config.phases.coverage.extra_data_sources.responses = False
    config.phases.fuzzing.error_feedback.is_enabled = False
    config.phases.stateful.enabled = config.phases.examples.enabled = False
    schema.iter_coverage_cases = _some_of(schema.iter_coverage_cases)
    seen: set[str] = set()
    wrong: list[str] = []
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            wrong.append(f"{event!r}")
        elif isinstance(event, events.ScenarioFinished) and event.recorder.interactions:
            seen.add(event.recorder.label)
            wrong += list(_failures(event.recorder))
    return seen, wrong


def _some_of(cases: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """The systematic cases, of many only some."""

    def some(operation: Any, **arguments: Any) -> Iterator[Any]:
        steps = (step for pattern, step in SOME.items() if re.search(pattern, operation.path))
        step = 1 if MORE else next(steps, 1)
        return itertools.islice(cases(operation, **arguments), 0, None, step)

    return some


def _failures(recorder: Any) -> Iterator[str]:
    for case, checks in recorder.checks.items():
        for failure in (check.failure_info.failure for check in checks if check.failure_info):
            request, response = recorder.interactions[case].request, recorder.interactions[case].response
            yield (
                f"{recorder.label}: {failure.title}\n{failure.message[:600]}\n"
                f"{request.method} {request.uri} {(request.body or b'')[:600]!r}\n"
                f"→ {response and (response.status_code, (response.content or b'')[:300])}"
            )


def test_every_pull_ends_and_leaves_nothing(people: People) -> None:
    def pulled(model: str) -> tuple[str, int]:
        """How a pull that goes on by itself ended, and the status of one that is waited for."""
        body = {"model": model, "stream": False}
        eventually(lambda: begun(model) != "progress", lambda: "pulls go on")
        return begun(model), people.ask("boss", "POST", "/api/pull", body)[0]

    def begun(model: str) -> Any:
        return people.ask("boss", "POST", "/rest/models/pull/", {"model": model})[1]["state"]

    assert pulled(HUB_MODEL) == ("pulled", 200)
    assert pulled("org/none") == ("failed", 404)
    eventually(lambda: people.ask("boss", "GET", "/rest/models/pulls/")[1] == [], lambda: "pulls go on")
    home = people.stage.server.home
    # What a pull said last is for those who follow it from elsewhere, and goes with the next start.
    left = {path.relative_to(home).parts[0] for path in home.rglob("*none*")}
    assert left <= {"pulls"}
    assert not [*home.rglob("*.incomplete")]
