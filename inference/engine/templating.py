"""Has chat templates rendered within limits, by processes that can be ended: ``template_worker``.

transformers renders templates within the process that asks, without limits, and has no public place to
change that: ``isolate_templates`` puts ``IsolatedTemplate`` where transformers keeps what it compiled,
which tokenizers, processors and pipelines all go through.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
import msgspec
from jinja2.sandbox import ImmutableSandboxedEnvironment
from transformers.utils import chat_template_utils

from inference.chat_jinja import LONGEST_TEMPLATE, reading
from inference.engine.template_worker import LENGTH_BYTES, Answer, Job, Refused, Written
from inference.errors import InvalidRequest

SECONDS = 2.0
# A busy machine gives a process its seconds late.
PATIENCE_SECONDS = 30.0
MOST_PROCESSES = 4
# What a template may write: so many characters, and so many for each byte that it is given.
LEAST_ROOM = 2**20
GROWTH = 4
COMMAND = (sys.executable, "-m", "inference.engine.template_worker")
TOO_LONG = "The chat template was stopped: it computes for too long or takes too much memory."
TOO_LARGE = "The chat template was stopped: it writes far more than it is given, or is nested too deeply."

_answers: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


class TemplateProcess:
    """A process that renders, one template after the other."""

    def __init__(self) -> None:
        self._line, theirs = socket.socketpair()
        self._line.settimeout(PATIENCE_SECONDS)
        root = Path(__file__).parents[2]
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - a fixed command
                COMMAND, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, cwd=root
            )

    @property
    def alive(self) -> bool:
        """Whether the process is there to be asked."""
        return self._process.poll() is None

    def ask(self, job: bytes) -> Answer | None:
        """What the process makes of an encoded ``Job``; ``None``, and no process any more, if nothing."""
        try:
            self._line.sendall(len(job).to_bytes(LENGTH_BYTES, "big") + job)
            return _answers.decode(self._read(int.from_bytes(self._read(LENGTH_BYTES), "big")))
        except (OSError, msgspec.MsgspecError):
            self.close()
            return None

    def _read(self, length: int) -> bytes:
        read = bytearray()
        while len(read) < length:
            piece = self._line.recv(min(length - len(read), 2**20))
            if not piece:
                raise ConnectionError("The process has ended.")
            read += piece
        return bytes(read)

    def close(self) -> None:
        """End the process."""
        self._line.close()
        self._process.kill()
        self._process.wait()


class TemplateRenderer:
    """Renders templates in up to ``MOST_PROCESSES`` processes, from any thread; each may compute for
    ``seconds``."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        # Places of processes, which start when they are needed; the one used last is the first again.
        self._places: queue.LifoQueue[TemplateProcess | None] = queue.LifoQueue()
        for _ in range(MOST_PROCESSES):
            self._places.put(None)

    def render(self, source: str, variables: dict[str, Any]) -> str:
        """The text that the template writes; ``InvalidRequest`` if it takes too much.

        What the template raises is a ``TypeError`` or a ``TemplateError`` here.
        """
        size = len(msgspec.msgpack.encode(variables))
        job = Job(source, variables, self._seconds, LEAST_ROOM + GROWTH * size)
        with self._process() as process:
            answer = process.ask(msgspec.msgpack.encode(job))
        match answer:
            case Written(text):
                return text
            case Refused(kind="size"):
                raise InvalidRequest(TOO_LARGE)
            case Refused(reason, kind):
                raise TypeError(reason) if kind == "type" else jinja2.TemplateError(reason)
            case None:
                raise InvalidRequest(TOO_LONG)

    def close(self) -> None:
        """End the processes that nobody uses."""
        for _ in range(MOST_PROCESSES):
            if process := self._places.get():
                process.close()
            self._places.put(None)

    @contextlib.contextmanager
    def _process(self) -> Iterator[TemplateProcess]:
        process = self._places.get()
        try:
            if process and not process.alive:
                process.close()
                process = None
            process = process or TemplateProcess()
            yield process
        except BaseException:
            # Its answer to this may still come, which must not be another's.
            if process:
                process.close()
            raise
        finally:
            self._places.put(process)


RENDERER = TemplateRenderer()


class IsolatedTemplate:
    """A template as transformers holds it: parsed here, rendered elsewhere."""

    def __init__(self, source: str) -> None:
        if len(source) > LONGEST_TEMPLATE:
            raise InvalidRequest(f"A chat template has at most {LONGEST_TEMPLATE} characters.")
        self._source = source

    @property
    def environment(self) -> ImmutableSandboxedEnvironment:
        """What reads the template."""
        return reading()

    def render(self, **variables: Any) -> str:
        """The text of the template; errors as ``TemplateRenderer.render``'s."""
        return RENDERER.render(self._source, variables)


def isolate_templates() -> None:
    """Have transformers render no template in this process."""
    chat_template_utils._compile_jinja_template = lru_cache(64)(IsolatedTemplate)
