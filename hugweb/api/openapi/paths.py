"""The routes that are described beside their views, as OpenAPI's paths."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RoutePattern

from hugweb.api.described import EVENTS, LINES, Contents, Operation, operations_of
from hugweb.api.openapi.bodies import parameters, request_body
from hugweb.api.openapi.components import Components, Schema
from hugweb.api.openapi.groups import FAILURES, KEYS, group_of
from hugweb.api.openapi.pages import PAGES
from hugweb.api.openapi.refusals import refusals
from hugweb.api.shape import Dialect, dialect_of

_ARGUMENT = re.compile(r"<(?:(?P<kind>\w+):)?(?P<name>\w+)>")
_KINDS: dict[str, Schema] = {
    "str": {"type": "string", "minLength": 1},
    "path": {"type": "string", "minLength": 1},
    "int": {"type": "integer", "minimum": 0},
    "uuid": {"type": "string", "format": "uuid"},
}
TEXTS = {
    200: "It is done.",
    201: "It is made.",
    204: "It is done.",
    302: "Log in first.",
    304: "It is as it was.",
    503: "Not now.",
}
REFUSED, FAILED = "The request was refused.", "The engine failed, is not there, or too busy."


class Route(NamedTuple):
    """An address as OpenAPI writes it, the schemas of what stands in it, and its view."""

    path: str
    arguments: dict[str, Schema]
    view: Callable[..., Any]


def routes() -> Iterator[Route]:
    """Every route that is written as a path, those of Django's admin among them."""
    yield from _routes(get_resolver().url_patterns, "/")


def _routes(patterns: list[URLPattern | URLResolver], before: str) -> Iterator[Route]:
    for pattern in patterns:
        if not isinstance(pattern.pattern, RoutePattern):
            continue
        address = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _routes(pattern.url_patterns, address)
        else:
            arguments = {
                match["name"]: _KINDS[match["kind"] or "str"] for match in _ARGUMENT.finditer(address)
            }
            yield Route(_ARGUMENT.sub(r"{\g<name>}", address), arguments, pattern.callback)


def described_paths(components: Components) -> dict[str, Schema]:
    """The paths of all views that say what they do."""
    paths: dict[str, Schema] = {}
    for route in routes():
        for operation in operations_of(route.view) or PAGES.get(route.view, ()):
            methods = operation.methods or getattr(route.view, "methods", ())
            # HEAD is GET without its body.
            for method in {*methods} - ({"HEAD"} if "GET" in methods else set()):
                described = _operation(route, method, operation, components)
                paths.setdefault(route.path, {})[method.lower()] = described
    return paths


def _operation(route: Route, method: str, operation: Operation, components: Components) -> Schema:
    group, dialect = group_of(route.view), dialect_of(route.path)
    given = parameters(operation, route.arguments, group, components)
    about = re.sub(r"\s*\n\s*", " ", route.view.__doc__ or "").strip().replace("``", "`")
    return {
        "operationId": "_".join([*re.findall(r"\w+", route.path), method.lower()]),
        "summary": operation.summary,
        **({"description": about} if about else {}),
        "tags": [group.name],
        **({"parameters": given} if given else {}),
        **({"requestBody": request_body(operation, group, components)} if operation.takes else {}),
        "security": [{key: []} for key in KEYS[dialect]] + ([] if operation.owned else [{}]),
        "responses": _responses(operation, dialect, group.name, components),
    }


def _answer(operation: Operation, dialect: Dialect | None) -> Contents:
    """What is given, where a stream may end with an error."""
    given = dict(operation.gives)
    for media in {*given} & {LINES, EVENTS}:
        frames = given[media] if isinstance(given[media], tuple) else (given[media],)
        given[media] = (*frames, *FAILURES[dialect].values())
    return given


def _responses(operation: Operation, dialect: Dialect | None, api: str, components: Components) -> Schema:
    answers = dict.fromkeys(operation.statuses, _answer(operation, dialect)) | {**operation.others}
    found = {
        str(status): {"description": TEXTS[status]} | _content(contents, api, components)
        for status, contents in answers.items()
    }
    failure = _content(FAILURES[dialect], (dialect or "page").title(), components)
    found["4XX"] = {"description": REFUSED, **failure}
    if dialect:
        found["5XX"] = {"description": FAILED, **failure}
        found |= {status: each for status, each in refusals(dialect).items() if status not in found}
    return found


def _content(contents: Contents, api: str, components: Components) -> Schema:
    """The bodies of an answer. The schema of a stream is that of each of its frames."""
    content = {media: {"schema": components.schema(kind, api)} for media, kind in contents.items()}
    return {"content": content} if content else {}
