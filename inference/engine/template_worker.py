"""Renders chat templates in a process of its own: python -m inference.engine.template_worker.

A template comes with a model's files or with a request, and may be hostile: loops without end, texts
of gigabytes, numbers of a billion digits, any of them within one call that cannot be interrupted. So
the system ends this process when it has computed for too long, and gives it no more memory than
``MOST_MEMORY``; whoever asked starts another (``inference.engine.templating``).

Reads a ``Job`` and writes a ``Written`` or a ``Refused``, one after the other, over the socket that is
its standard input, each with its length before it. Ends when the other side closes it.
"""

from __future__ import annotations

import contextlib
import resource
import signal
import socket
from functools import lru_cache
from typing import Any

import jinja2
import msgspec
from msgspec import Struct

from inference.chat_jinja import rendering

LENGTH_BYTES = 4
MOST_MEMORY = 2**30
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


def main() -> None:
    """Answer jobs until the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Not every system has such a limit; the time has one everywhere.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    with socket.socket(fileno=0) as line, line.makefile("rwb") as stream:
        while header := stream.read(LENGTH_BYTES):
            job = msgspec.msgpack.decode(stream.read(int.from_bytes(header, "big")), type=Job)
            body = msgspec.msgpack.encode(render_in_time(job))
            stream.write(len(body).to_bytes(LENGTH_BYTES, "big") + body)
            stream.flush()


def render_in_time(job: Job) -> Answer:
    """What the template of ``job`` writes; the process ends if that takes too long."""
    try:
        # Nobody handles this signal, so it ends the process, whatever that is doing.
        signal.setitimer(signal.ITIMER_PROF, job.seconds)
        return render(job)
    except TOO_MUCH:
        return Refused("", "size")
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


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
    main()
