"""The contract of a provider."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from inference.protocol import Events, LoadedModel, Request


class Provider(ABC):
    """Answers requests for the models it knows.

    ``stream`` yields events as they come, of which ``Done`` is the last; what goes wrong is raised
    as an ``InferenceError``. Closing the iterator (use ``contextlib.aclosing``) cancels the
    request at its source.
    """

    name: ClassVar[str]

    @abstractmethod
    def stream(self, request: Request) -> Events:
        """The events of ``request``."""

    @abstractmethod
    async def loaded(self) -> tuple[LoadedModel, ...]:
        """The models in this provider's memory."""

    @abstractmethod
    async def healthy(self) -> bool:
        """Whether a request would be taken now."""
