"""One model in memory, or on its way there. Decides nothing: ``residents`` does."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from inference.engine.handlers.base import ModelHandler
from inference.errors import TimedOut
from inference.protocol import FOREVER, Device, Dtype, LoadedModel, ModelRef, Quantization

Key = tuple[str, Quantization, Dtype, Device]


def key_of(model: ModelRef) -> Key:
    """What makes a model another one in memory: not the name it is asked for by."""
    return model.path, model.quantization, model.dtype, model.device


@dataclass(eq=False)
class Resident:
    """One model: its load, who uses it, and when it may go (monotonic seconds).

    ``model`` is as last asked for: one model may be known under several names. ``force``: loaded
    whatever the estimate says. ``waiting``: for memory that models in use hold. ``stopping``: told to
    go. ``memory``: bytes that it was measured to take, and ``resting`` without what it only took because
    it was free; 0 where that was not possible.
    """

    model: ModelRef
    keep_alive: float
    force: bool = False
    users: int = 0
    waiting: bool = False
    stopping: bool = False
    memory: int = 0
    resting: int = 0
    since: float = field(default_factory=time.monotonic)
    last_used: float = field(default_factory=time.monotonic)
    timer: asyncio.TimerHandle | None = None
    load: asyncio.Task[ModelHandler] = field(init=False)

    def cancel_timer(self) -> None:
        if self.timer:
            self.timer.cancel()
            self.timer = None

    @property
    def handler(self) -> ModelHandler:
        return self.load.result()

    @property
    def ready(self) -> bool:
        return self.load.done() and not self.load.cancelled() and self.load.exception() is None

    @property
    def idle(self) -> bool:
        return self.ready and self.users == 0

    @property
    def size(self) -> int:
        """Bytes of memory: as measured, else as its handler counts them."""
        return self.memory or self.handler.size

    @property
    def expires_in(self) -> float:
        if self.stopping:
            return 0.0
        if self.keep_alive < 0:
            return FOREVER
        return (
            self.keep_alive if self.users else max(0.0, self.last_used + self.keep_alive - time.monotonic())
        )

    def too_long(self, limit: float) -> TimedOut:
        """What to tell whoever has waited for ``limit`` seconds."""
        if self.waiting:
            return TimedOut(
                f"There is no room for {self.model.name} beside the models that are in use. "
                "Try again when they are idle, stop one, or raise MAX_CONCURRENT_MODELS if memory allows."
            )
        return TimedOut(
            f"Loading {self.model.name} takes longer than {limit:.0f} s. "
            "It goes on: try again later, or raise MODEL_LOAD_TIMEOUT_MS."
        )

    def describe(self) -> LoadedModel:
        """The model as the wire tells of it."""
        return LoadedModel(
            name=self.model.name,
            state="ready" if self.ready else "loading",
            device=self.handler.device if self.ready else "",
            size=self.size if self.ready else 0,
            context_length=self.handler.context_length if self.ready else 0,
            expires_in=self.expires_in,
            active=self.users,
            quantization=self.model.quantization,
            dtype=self.handler.dtype if self.ready else "",
            id=self.model.id,
            stopping=self.stopping,
            manner=self.handler.manner if self.ready else "",
            places=self.handler.places if self.ready else 0,
        )
