"""Asking the engine from pages: what it holds, loading, letting go; each within a short time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

from inference.errors import EngineDied, InferenceError
from inference.protocol import Done, Load, LoadedModel, Loading, ModelRef, Unload
from inference.providers.registry import get_provider

# An engine that is well answers in milliseconds, and pages wait for it.
ANSWER_SECONDS = 0.5


async def engine_loaded(provider: str = "huggingface") -> tuple[LoadedModel, ...] | None:
    """The models in memory; None when the engine gives no answer in time."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await get_provider(provider).loaded()
    except (InferenceError, TimeoutError):
        return None


async def engines_loaded(providers: Iterable[str]) -> dict[str, tuple[LoadedModel, ...] | None]:
    """The same of several, by their names, asked side by side."""
    names = tuple(providers)
    return dict(zip(names, await asyncio.gather(*map(engine_loaded, names)), strict=True))


async def engine_line(provider: str = "huggingface") -> tuple[LoadedModel, ...]:
    """The models that wait for memory, each with those who ask for it; none without an answer in time."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await get_provider(provider).line()
    except (InferenceError, TimeoutError):
        return ()


async def engine_load(provider: str, model: ModelRef, keep_alive: float | None = None) -> None:
    """Have ``model`` loaded, and return when that has begun or is done; an error is raised."""
    events = get_provider(provider).stream(Load(model=model, keep_alive=keep_alive))
    async with contextlib.aclosing(events):
        async for event in events:
            if isinstance(event, Loading | Done):
                return
    raise EngineDied


async def engine_unload(provider: str, model: ModelRef) -> None:
    """Let ``model`` go as soon as nobody uses it."""
    async with contextlib.aclosing(get_provider(provider).stream(Unload(model=model))) as events:
        async for event in events:
            if isinstance(event, Done):
                return
