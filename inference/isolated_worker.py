"""The side of a process of its own, for work on what may be hostile: ``inference.isolated``.

What comes with a model's files or with a request can compute without end within one call that cannot be
interrupted. So the system ends this process when it has computed for too long, and gives it no more
memory than ``MOST_MEMORY``; whoever asked starts another.

Reads jobs and writes answers, one after the other, over the socket that is its standard input, each with
its length before it. Ends when the other side closes it.
"""

from __future__ import annotations

import contextlib
import resource
import signal
import socket
from collections.abc import Callable, Iterator

LENGTH_BYTES = 4
MOST_MEMORY = 2**30


def serve(answer: Callable[[bytes], bytes]) -> None:
    """Give each job to ``answer`` until the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Not every system has such a limit; the time has one everywhere.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    with socket.socket(fileno=0) as line, line.makefile("rwb") as stream:
        while header := stream.read(LENGTH_BYTES):
            body = answer(stream.read(int.from_bytes(header, "big")))
            stream.write(len(body).to_bytes(LENGTH_BYTES, "big") + body)
            stream.flush()


@contextlib.contextmanager
def timed(seconds: float) -> Iterator[None]:
    """End the process if the block computes for more than so many ``seconds``."""
    # Nobody handles this signal, so it ends the process, whatever that is doing.
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
