"""One request, several models: where the first cannot answer, the next one is asked.

Only for what is not the request's own fault, and only as long as nothing of an answer has come. The
request is counted once, for the model that did the work. Which models come next is for the caller
to say; knows nothing of aliases.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from inference.asker import asker
from inference.errors import (
    CannotLoad,
    DoesNotFit,
    EngineDied,
    EngineDown,
    InferenceError,
    LoadFailed,
    ModelNotFound,
    OutOfMemory,
    ProviderDisabled,
    TimedOut,
)
from inference.protocol import Draw, Events, FellBack, Generate, Load, Progress, Rerank
from inference.providers.base import Provider
from inference.usage.meter import Meter, counting, is_counted, marked

logger = logging.getLogger(__name__)

# What another model may do better: the model is not there, cannot be loaded, or its provider is down.
RESCUED = (
    LoadFailed,
    CannotLoad,
    DoesNotFit,
    OutOfMemory,
    TimedOut,
    EngineDown,
    EngineDied,
    ModelNotFound,
    ProviderDisabled,
)
# What tells of a provider rather than of a model: asking it for another one would wait as long in vain.
DOWN = (EngineDown, ProviderDisabled)
# What another model may do as well. Vectors and tokens of two models are not the same thing.
Movable = Generate | Rerank | Draw | Load


class Route(NamedTuple):
    """A request, and who is asked."""

    provider: Provider
    request: Movable

    @property
    def model(self) -> str:
        """The model's own name."""
        return self.request.model.id or self.request.model.name


Spares = Callable[[], Awaitable[Sequence[Route]]]


def stream_along(first: Route, spares: Spares) -> Events:
    """The events of ``first``; where it cannot answer, ``FellBack`` and those of the first spare that can.

    ``spares`` is asked only then. Where none can either, the first error is raised.
    """
    if isinstance(first.request, Load):
        return _along(first, spares, None)
    who = asker()
    request = marked(first.request, who)
    if not is_counted(request):
        return _along(first, spares, None)
    meter = Meter(first.provider.name, request, who)
    return counting(_along(Route(first.provider, request), spares, meter), meter)


async def _along(route: Route, spares: Spares, meter: Meter | None) -> Events:
    rest: list[Route] | None = None
    refused: InferenceError | None = None
    while True:
        begun = False
        try:
            async with contextlib.aclosing(route.provider.attempt(route.request)) as events:
                async for event in events:
                    begun = begun or not isinstance(event, Progress)
                    yield event
                return
        except InferenceError as error:
            if begun or not (refused or isinstance(error, RESCUED)):
                raise
            refused, latest = refused or error, error
        rest = list(await spares()) if rest is None else rest
        if isinstance(latest, DOWN):
            rest = [spare for spare in rest if spare.provider is not route.provider]
        if not rest:
            raise refused
        asked = route.request.model.name
        logger.warning(
            "%s: %s cannot answer: %s %s is asked.", asked, route.model, latest.message, rest[0].model
        )
        route = rest.pop(0)
        if meter and not isinstance(route.request, Load):
            request = marked(route.request, meter.who)
            route = Route(route.provider, request)
            meter.turn_to(route.provider.name, request)
        yield FellBack(model=route.model, provider=route.provider.name, reason=refused.message)
