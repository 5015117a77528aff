"""The provider ``huggingface``: our own engine, over its socket."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from asgiref.sync import sync_to_async
from django.conf import settings

from inference.address import engine_address
from inference.client import EngineClient
from inference.errors import InferenceError
from inference.protocol import Events, Loaded, LoadedModel, Request, Status
from inference.providers.base import Provider
from inference.store.memory import memory_note


class HuggingFaceProvider(Provider):
    """Sends each request to the engine of this home, or to the one ENGINE_ADDRESS names."""

    name = "huggingface"

    def __init__(self) -> None:
        self._client = EngineClient(engine_address(), silence=settings.STREAM_TIMEOUT_SECONDS)

    async def stream(self, request: Request) -> Events:
        async with contextlib.aclosing(self._client.stream(request)) as events:
            async for event in events:
                if isinstance(event, Loaded) and event.memory and not isinstance(request, Status):
                    await sync_to_async(memory_note)(model=request.model, memory=event.memory)
                yield event

    async def loaded(self) -> tuple[LoadedModel, ...]:
        return (await self._client.status()).models

    async def healthy(self) -> bool:
        try:
            await replace(self._client, patience=0.0, silence=5.0).status()
        except InferenceError:
            return False
        return True
