"""Counting what a provider streams: once a request, whoever asks and however it ends.

Every provider's ``stream`` is wrapped by ``metered`` (``inference.providers.base`` sees to it), so a
dialect, page or command that is new is counted without doing anything. The stream itself is never
held up: the row goes to the recorder's queue when the last event has gone.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any, TypeGuard, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from inference.asker import Asker, asker
from inference.errors import InferenceError
from inference.protocol import (
    Called,
    Done,
    Draw,
    Embed,
    Event,
    Events,
    Generate,
    Piece,
    Queued,
    Reading,
    Request,
    Rerank,
    Result,
    Text,
    Thought,
    Transcribe,
    Usage,
)
from inference.usage.recorder import RECORDER

# How many requests to each model wait for others at this moment.
QUEUED: Counter[str] = Counter()

Counted = Generate | Embed | Rerank | Transcribe | Draw
Asked = TypeVar("Asked", bound=Request)
StreamMethod = Callable[[Any, Request], Events]


class Measured(Struct, frozen=True, kw_only=True):
    """One request that was counted; times in nanoseconds. ``queued_ns`` are those that others were first."""

    created: datetime
    kind: str
    provider: str
    model: str
    alias: str
    who: Asker
    usage: Usage
    first_token_ns: int | None
    duration_ns: int
    outcome: str
    code: str = ""
    queued_ns: int = 0


def metered(stream: StreamMethod) -> StreamMethod:
    """``stream``, counted, and its requests marked with whom the engine reads for."""

    @wraps(stream)
    def counted(provider: Any, request: Request) -> Events:
        if not is_counted(request):
            return stream(provider, request)
        who = asker()
        request = marked(request, who)
        return counting(stream(provider, request), Meter(provider.name, request, who))

    return counted


def is_counted(request: Request) -> TypeGuard[Counted]:
    """Whether ``request`` is one that usage tells of."""
    return isinstance(request, Counted) and not (isinstance(request, Generate) and request.render_only)


def marked(request: Asked, who: Asker) -> Asked:
    """``request`` with whom the engine reads for."""
    if isinstance(request, Generate) and not request.owner:
        return replace(request, owner=who.owner)
    return request


async def counting(events: Events, meter: Meter) -> Events:
    """``events``, counted by ``meter`` when the last of them has gone."""
    meter.start()
    try:
        async with contextlib.aclosing(events):
            async for event in events:
                meter.see(event)
                yield event
    except InferenceError as error:
        meter.fail(error.code)
        raise
    except Exception:
        meter.fail(InferenceError.code)
        raise
    finally:
        RECORDER.put(meter.read())


class Meter:
    """What is known of one request so far. Without ``Done`` or an error it was cancelled."""

    def __init__(self, provider: str, request: Counted, who: Asker) -> None:
        self._provider, self._request, self.who = provider, request, who
        self._created = datetime.now(UTC)
        self._began = time.monotonic_ns()
        self._first: int | None = None
        self._queued_since: int | None = None
        self._queued = 0
        self._usage = Usage()
        self._outcome, self._code = "cancelled", ""

    def start(self) -> None:
        """The request is sent now, rather than when it was made."""
        self._began = time.monotonic_ns()

    def turn_to(self, provider: str, request: Counted) -> None:
        """Another model does the work, from the beginning."""
        # Under the name that it was begun with.
        self._queue(False)
        self._provider, self._request, self._usage = provider, request, Usage()

    def see(self, event: Event) -> None:
        """Count ``event``, which is passed on next."""
        if isinstance(event, Piece | Result) and self._first is None:
            self._first = time.monotonic_ns()
        self._queue(isinstance(event, Queued))
        match event:
            case Done(usage=usage):
                self._usage, self._outcome = usage, "done"
            case Reading(total=total) if not isinstance(self._request, Transcribe):
                self._usage = replace(self._usage, prompt=total)
            case Text(tokens=tokens) | Thought(tokens=tokens) | Called(tokens=tokens):
                self._usage = replace(self._usage, completion=self._usage.completion + tokens)

    def fail(self, code: str) -> None:
        """The request failed with an error of this code."""
        self._outcome, self._code = "failed", code

    def _queue(self, waits: bool) -> None:
        """The request waits for others from now on, or no longer."""
        now = time.monotonic_ns()
        if waits and self._queued_since is None:
            self._queued_since = now
            QUEUED[self._model] += 1
        elif not waits and self._queued_since is not None:
            self._queued += now - self._queued_since
            self._queued_since = None
            QUEUED[self._model] -= 1

    @property
    def _model(self) -> str:
        return self._request.model.id or self._request.model.name

    def read(self) -> Measured:
        """The row, at the end."""
        self._queue(False)
        model, own = self._request.model, self._model
        return Measured(
            created=self._created,
            kind=type(self._request).__name__.lower(),
            provider=self._provider,
            model=own,
            alias=model.name if model.name != own else "",
            who=self.who,
            usage=self._usage,
            first_token_ns=None if self._first is None else self._first - self._began,
            duration_ns=time.monotonic_ns() - self._began,
            outcome=self._outcome,
            code=self._code,
            queued_ns=self._queued,
        )
