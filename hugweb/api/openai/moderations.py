"""``/v1/moderations``: refused, so that nobody takes silence for a verdict."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase

from hugweb.api.described import Operation
from hugweb.api.endpoint import endpoint
from inference.errors import Unsupported


@Operation("Refused: nothing is moderated here", statuses=())
@endpoint("POST")
async def moderations(request: HttpRequest) -> HttpResponseBase:
    raise Unsupported("There is no moderation here: nothing was checked.")
