"""The contract of a provider."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from inference.protocol import Events, LoadedModel, Request
from inference.usage.meter import metered


class Provider(ABC):
    """Answers requests for the models it knows.

    ``stream`` yields events as they come, of which ``Done`` is the last; what goes wrong is raised
    as an ``InferenceError``. Closing the iterator (use ``contextlib.aclosing``) cancels the
    request at its source. Whatever a provider streams is counted: each class's own ``stream`` is
    metered, so one that calls another's would count twice.
    """

    name: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "stream" in vars(cls):
            cls.attempt = cls.stream  # type: ignore[method-assign]
            cls.stream = metered(cls.stream)  # type: ignore[assignment, method-assign]

    @abstractmethod
    def stream(self, request: Request) -> Events:
        """The events of ``request``."""

    def attempt(self, request: Request) -> Events:
        """As ``stream``, but not counted: for who counts by itself. Each class's own ``stream``."""
        return self.stream(request)

    @abstractmethod
    async def loaded(self) -> tuple[LoadedModel, ...]:
        """The models in this provider's memory."""

    @abstractmethod
    async def healthy(self) -> bool:
        """Whether a request would be taken now."""

    async def line(self) -> tuple[LoadedModel, ...]:
        """Models that wait for the memory of others; none where a provider does not tell."""
        return ()
