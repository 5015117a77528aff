"""``POST /graphql``: JSON over HTTP, and nothing else.

Strawberry takes half a second to import, so the first query does that, in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, NotRequired, TypedDict

from django.http import HttpRequest, HttpResponseBase
from msgspec import Meta, Struct, field

from hugweb.api.body import parse
from hugweb.api.depth import DEEPEST, is_deep
from hugweb.api.described import JSON, Operation
from hugweb.api.endpoint import endpoint
from hugweb.api.rest.access import entered
from inference.errors import InvalidRequest

LONGEST = 20_000
# Fragments that spread others twice double with each: what checks a query's depth follows every one.
# The introspection that tools send has eight.
MOST_SPREADS = 16


class QueryBody(Struct, kw_only=True):
    """``POST /graphql``, by GraphQL over HTTP."""

    query: Annotated[str, Meta(min_length=1, max_length=LONGEST)]
    variables: dict[str, Any] | None = None
    operation_name: str | None = field(name="operationName", default=None)


class QueryAnswer(TypedDict):
    data: NotRequired[dict[str, Any] | None]
    errors: NotRequired[list[dict[str, Any]]]
    extensions: NotRequired[dict[str, Any]]


@Operation("Ask for models and conversations", takes={JSON: QueryBody}, gives={JSON: QueryAnswer})
@entered
@endpoint("POST")
async def graphql(request: HttpRequest) -> HttpResponseBase:
    body = parse(request.body, QueryBody)
    if body.query.count("...") > MOST_SPREADS:
        raise InvalidRequest(f"A query spreads at most {MOST_SPREADS} fragments.", param="query")
    if is_deep(body.variables):
        raise InvalidRequest(f"Variables are nested at most {DEEPEST} levels deep.", param="variables")
    view = await asyncio.to_thread(_view)
    try:
        response: HttpResponseBase = await view(request)
    except RecursionError as error:
        # Strawberry reads what nobody asks for, too.
        raise InvalidRequest("The request is nested too deeply.") from error
    if response.status_code == 400 and response["Content-Type"].startswith("text/"):
        raise InvalidRequest("Send a JSON object with a `query`, as `application/json`.")
    return response


@cache
def _view() -> Callable[..., Any]:
    from strawberry.django.views import AsyncGraphQLView

    from hugweb.api.graphql.schema import schema

    return AsyncGraphQLView.as_view(schema=schema, graphql_ide=None, allow_queries_via_get=False)
