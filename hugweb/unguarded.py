"""Headers of answers that are made below the guard, and before Django sees the request.

Such an answer tells its request's id and lets pages of other origins read it, as all others do.
"""

from __future__ import annotations

from django.conf import settings
from twisted.web.http_headers import Headers as RequestHeaders

from hugweb.api.shape import dialect_of
from hugweb.origins import Headers, Origins, answer_headers
from inference.request_id import ANTHROPIC_HEADER, HEADER


def id_headers(path: str, id: str) -> Headers:
    """Headers that tell the id of a request for ``path``."""
    names = (HEADER, ANTHROPIC_HEADER) if dialect_of(path) == "anthropic" else (HEADER,)
    return [(name.encode(), id.encode()) for name in names]


def unguarded_headers(path: str, given: RequestHeaders) -> Headers:
    """What the guard would add to an answer that is made before it sees the request, whose headers are
    ``given``: a page of another origin is to read what is wrong, too."""
    origins = Origins(settings.EXTRA_ORIGINS, settings.PUBLIC_ORIGIN)
    hosts, brought = (values_of(given, name) for name in ("Host", "Origin"))
    return answer_headers(path, origins.foreign(brought, scheme="http", hosts=hosts))


def values_of(given: RequestHeaders, name: str) -> list[str]:
    """All values of the header ``name``."""
    return [value.decode("latin-1") for value in given.getRawHeaders(name.encode(), ())]
