"""Asking what a name stands for: its model, or where that cannot answer, its fallbacks in their order.

The one way from a target to events, behind every dialect, page and command.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Sequence
from functools import partial

from channels.db import database_sync_to_async
from msgspec.structs import replace

from aliases.selectors import alternatives
from aliases.target import Target
from inference.errors import Unsupported
from inference.protocol import (
    Draw,
    Events,
    FellBack,
    Generate,
    Load,
    Message,
    Noted,
    Request,
    Rerank,
    Status,
    Unload,
)
from inference.providers.fallback import Movable, Route, stream_along
from inference.providers.registry import get_provider

NOT_SEEN = "This model reads text only: the pictures were left out."
# Of what a model can do, what makes it another kind of model.
KINDS = {"completion", "embedding", "rerank", "image"}


def events_of(target: Target, request: Request) -> Events:
    """The events of ``request``, which was made for ``target``. How long the model stays is filled in.

    Pictures that the model cannot see are left out, with ``Noted``, or ``Unsupported``, as the settings say.
    With ``FellBack`` among them where a fallback answers. Vectors and tokens are of one model alone, and
    a load that is forced is for the model that was meant: none of these falls back.
    """
    provider = get_provider(target.provider)
    if not isinstance(request, Generate | Unload | Status):
        request = target.fill(request)
    if isinstance(request, Generate) and "vision" not in target.capabilities and _shows(request.messages):
        seen = events_of(target, _without_pictures(request, target))
        return _after(Noted(note=NOT_SEEN), seen)
    if target.missing and not isinstance(request, Unload | Status):
        reason = f"{target.missing} is not here."
        stands_in = FellBack(model=target.record.name, provider=target.provider, reason=reason)
        return _after(stands_in, events_of(dataclasses.replace(target, missing=""), request))
    if not target.fallbacks or not _may_move(request):
        return provider.stream(request)
    return stream_along(Route(provider, request), partial(_spares, target, request))  # type: ignore[arg-type]


async def _after(first: FellBack | Noted, events: Events) -> Events:
    async with contextlib.aclosing(events):
        yield first
        async for event in events:
            yield event


def _shows(messages: Iterable[Message]) -> bool:
    return any(message.images for message in messages)


def _without_pictures(request: Generate, target: Target) -> Generate:
    """``request`` with its texts alone; ``Unsupported`` where that is not wanted or leaves nothing."""
    shown = [message for message in request.messages if message.images]
    if not target.takes_pictures or not any(message.content.strip() for message in shown):
        raise Unsupported(f'"{target.model.name}" does not support images')
    return replace(request, messages=tuple(replace(message, images=()) for message in request.messages))


def _may_move(request: Request) -> bool:
    match request:
        case Generate(context=context):
            return not context
        case Load(force=force):
            return not force
        case _:
            return isinstance(request, Rerank | Draw)


async def _spares(target: Target, request: Movable) -> Sequence[Route]:
    """``request`` to each fallback that can do what it asks for, but for what was asked first."""
    found = await database_sync_to_async(alternatives)(target)
    others = [
        each
        for each in found
        if _loaded_as(each) != _loaded_as(target) and _needs(request, target) <= set(each.capabilities)
    ]
    return [Route(get_provider(each.provider), _moved(request, target, each)) for each in others]


def _loaded_as(target: Target) -> tuple[str, object]:
    return target.provider, replace(target.model, name="")


def _needs(request: Movable, target: Target) -> set[str]:
    """What a model has to be able to do for ``request``, which was made for ``target``."""
    match request:
        case Rerank():
            return {"rerank"}
        case Draw():
            return {"image"}
        case Load():
            return KINDS & set(target.capabilities)
    wanted = {
        "tools": request.tools,
        "insert": request.suffix,
        "vision": any(message.images for message in request.messages),
        "audio": any(message.audios for message in request.messages),
    }
    return {"completion"} | {name for name, is_wanted in wanted.items() if is_wanted}


def _moved(request: Movable, target: Target, other: Target) -> Movable:
    """``request``, made for ``target``, for ``other``: with its options under those that are set."""
    if not isinstance(request, Generate):
        return replace(request, model=other.model)
    own = request.template and request.template != target.template
    return replace(
        request,
        model=other.model,
        options=request.options.over(other.options),
        template=request.template if own else other.template,
        think=request.think if "thinking" in other.capabilities else None,
    )
