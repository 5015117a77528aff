"""Which request is being worked for: an id in every answer, and on every line that is logged meanwhile.

The server gives each request its id (``identified``) or takes the one that its client brings, where that
can stand in a log; everything behind it, in the same task or in tasks and threads that it starts, can read
it (``request_id``). Standard library only.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context

HEADER = "X-Request-Id"
# What Anthropic's clients read.
ANTHROPIC_HEADER = "Request-Id"
# UUIDs, the ids of proxies, trace headers: nothing that could end a line or begin another field of it.
_SANE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}", re.ASCII)

_current: ContextVar[str] = ContextVar("request_id", default="")


def request_id() -> str:
    """The id of the request that is worked for; empty for work that nobody waits for."""
    return _current.get()


def id_for(brought: Sequence[str]) -> str:
    """The only one of the ids that a client has ``brought``, if it is sane; else a new one."""
    if len(brought) == 1 and _SANE.fullmatch(brought[0]):
        return brought[0]
    return f"req_{secrets.token_hex(12)}"


@contextmanager
def identified(id: str) -> Iterator[None]:
    """What is done inside is done for the request ``id``."""
    token = _current.set(id)
    try:
        yield
    finally:
        _current.reset(token)


def shared_id(ids: Iterable[str]) -> str:
    """The id of work that is done for all of ``ids`` at once: theirs where it is one, else none."""
    different = set(ids)
    return different.pop() if len(different) == 1 else ""


def for_nobody() -> Context:
    """A context for work that a request begins and that goes on for others."""
    context = copy_context()
    context.run(_current.set, "")
    return context


class RequestIds(logging.Filter):
    """Gives each record the request that it was logged for, as ``request_id``; ``-`` for none."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id() or "-"
        return True
