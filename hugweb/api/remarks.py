"""What is said beside an answer, whatever its dialect: headers, noted while the request is worked on.

``hugweb.api.endpoint`` opens the notes of a request and sends them with its response. What is noted
after the response has begun is not sent any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# The model that answered, where it is another than the one that the name stands for.
MODEL = "X-HugWeb-Model"
# What was done other than asked, in words.
NOTE = "X-HugWeb-Note"

_headers: ContextVar[dict[str, str] | None] = ContextVar("remarks", default=None)


@contextmanager
def remarks() -> Iterator[dict[str, str]]:
    """The headers that are noted inside."""
    headers: dict[str, str] = {}
    token = _headers.set(headers)
    try:
        yield headers
    finally:
        _headers.reset(token)


def remark(name: str, value: str) -> None:
    """Note a header, where anybody listens."""
    headers = _headers.get()
    if headers is not None:
        headers[name] = value
