"""Renders chat templates in a process of its own: python -m inference.engine.template_worker.

A template comes with a model's files or with a request, and may be hostile: loops without end, texts
of gigabytes, numbers of a billion digits. A job is a ``Job``, its answer a ``Written`` or a ``Refused``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jinja2
import msgspec
from msgspec import Struct

from inference.chat_jinja import rendering
from inference.isolated_worker import serve, timed

# What a template can raise, with messages that it was not written for.
REFUSALS = (
    jinja2.TemplateError,
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)
# What Python says of a template whose blocks or brackets are nested too deeply, and of one that grows.
TOO_MUCH = (SyntaxError, MemoryError)


class Job(Struct, frozen=True):
    """A template to render: with which variables, within how many seconds of computing, and up to how
    many characters."""

    source: str
    variables: dict[str, Any]
    seconds: float
    most: int


class Written(Struct, frozen=True, tag=True):
    """What a template wrote."""

    text: str


class Refused(Struct, frozen=True, tag=True):
    """What a template raised: ``kind`` is ``type`` for a type that it does not take, ``size`` where it
    wrote or took too much, else empty."""

    reason: str
    kind: str = ""


Answer = Written | Refused


def answer(job: bytes) -> bytes:
    """What the template of an encoded ``Job`` writes; the process ends if that takes too long."""
    return msgspec.msgpack.encode(render_in_time(msgspec.msgpack.decode(job, type=Job)))


def render_in_time(job: Job) -> Answer:
    try:
        with timed(job.seconds):
            return render(job)
    except TOO_MUCH:
        return Refused("", "size")


def render(job: Job) -> Answer:
    """What the template of ``job`` writes."""
    pieces, room = [], job.most
    try:
        for piece in _compiled(job.source).generate(job.variables):
            pieces.append(piece)
            room -= len(piece)
            if room < 0:
                return Refused("", "size")
    except REFUSALS as error:
        return Refused(str(error)[:1000], "type" if isinstance(error, TypeError) else "")
    return Written("".join(pieces))


@lru_cache(16)
def _compiled(source: str) -> jinja2.Template:
    return rendering().from_string(source)


if __name__ == "__main__":
    serve(answer)
