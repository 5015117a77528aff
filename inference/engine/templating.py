"""Has chat templates rendered within limits, by processes that can be ended: ``template_worker``.

transformers renders templates within the process that asks, without limits, and has no public place to
change that: ``isolate_templates`` puts ``IsolatedTemplate`` where transformers keeps what it compiled,
which tokenizers, processors and pipelines all go through.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jinja2
import msgspec
from jinja2.sandbox import ImmutableSandboxedEnvironment
from transformers.utils import chat_template_utils

from inference.chat_jinja import LONGEST_TEMPLATE, reading
from inference.engine.template_worker import Answer, Job, Refused, Written
from inference.errors import InvalidRequest
from inference.isolated import IsolatedProcesses

SECONDS = 2.0
MOST_PROCESSES = 4
# What a template may write: so many characters, and so many for each byte that it is given.
LEAST_ROOM = 2**20
GROWTH = 4
WORKER = "inference.engine.template_worker"
TOO_LONG = "The chat template was stopped: it computes for too long or takes too much memory."
TOO_LARGE = "The chat template was stopped: it writes far more than it is given, or is nested too deeply."

_answers: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


class TemplateRenderer:
    """Renders templates in up to ``MOST_PROCESSES`` processes, from any thread; each may compute for
    ``seconds``."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._processes = IsolatedProcesses(WORKER, MOST_PROCESSES)

    def render(self, source: str, variables: dict[str, Any]) -> str:
        """The text that the template writes; ``InvalidRequest`` if it takes too much.

        What the template raises is a ``TypeError`` or a ``TemplateError`` here.
        """
        size = len(msgspec.msgpack.encode(variables))
        job = Job(source, variables, self._seconds, LEAST_ROOM + GROWTH * size)
        answer = self._processes.ask(msgspec.msgpack.encode(job))
        match answer and _answers.decode(answer):
            case Written(text):
                return text
            case Refused(kind="size"):
                raise InvalidRequest(TOO_LARGE)
            case Refused(reason, kind):
                raise TypeError(reason) if kind == "type" else jinja2.TemplateError(reason)
            case _:
                raise InvalidRequest(TOO_LONG)

    def close(self) -> None:
        """End the processes that nobody uses."""
        self._processes.close()


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
