"""The provider ``huggingface``: our own engine, over its socket."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from channels.db import database_sync_to_async
from django.conf import settings

from inference.address import engine_address
from inference.client import EngineClient
from inference.errors import InferenceError
from inference.protocol import Done, Event, Events, Loaded, LoadedModel, Request, Status, Unload
from inference.providers.base import Provider
from inference.store.memory import memory_note
from inference.store.use import use_due, use_note


class HuggingFaceProvider(Provider):
    """Sends each request to the engine of this home, or to the one ENGINE_ADDRESS names."""

    name = "huggingface"

    def __init__(self) -> None:
        self._client = EngineClient(engine_address(), silence=settings.STREAM_TIMEOUT_SECONDS)

    async def stream(self, request: Request) -> Events:
        async with contextlib.aclosing(self._client.stream(request)) as events:
            async for event in events:
                await _note(request, event)
                yield event

    async def loaded(self) -> tuple[LoadedModel, ...]:
        return (await self._client.status()).models

    async def line(self) -> tuple[LoadedModel, ...]:
        return (await self._client.status()).line

    async def healthy(self) -> bool:
        try:
            await replace(self._client, patience=0.0, silence=5.0).status()
        except InferenceError:
            return False
        return True


async def _note(request: Request, event: Event) -> None:
    """Keep in the model's row what an event tells of it. Each gives its connection back: the answer that
    follows may take minutes."""
    if isinstance(request, Status | Unload):
        return
    if isinstance(event, Loaded) and event.memory:
        await database_sync_to_async(memory_note)(model=request.model, memory=event.memory)
    elif isinstance(event, Done) and use_due(request.model):
        await database_sync_to_async(use_note)(model=request.model)
