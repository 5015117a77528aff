"""The provider ``huggingface``: our own engine, over its socket."""

from __future__ import annotations

from dataclasses import replace

from django.conf import settings

from inference.address import engine_address
from inference.client import EngineClient
from inference.errors import InferenceError
from inference.protocol import Events, LoadedModel, Request
from inference.providers.base import Provider


class HuggingFaceProvider(Provider):
    """Sends each request to the engine of this home, or to the one ENGINE_ADDRESS names."""

    name = "huggingface"

    def __init__(self) -> None:
        self._client = EngineClient(engine_address(), silence=settings.STREAM_TIMEOUT_SECONDS)

    def stream(self, request: Request) -> Events:
        return self._client.stream(request)

    async def loaded(self) -> tuple[LoadedModel, ...]:
        return (await self._client.status()).models

    async def healthy(self) -> bool:
        try:
            await replace(self._client, patience=0.0, silence=5.0).status()
        except InferenceError:
            return False
        return True
