"""The models in memory: loaded on demand, shared, let go when idle.

The one place that decides what is loaded. A load runs in a thread, once however many wait for it;
at most ``max_models`` are held, and the least recently used idle one makes room; each leaves
``keep_alive`` seconds after its last request, never while one runs. Knows nothing of torch: how a
model is loaded is a function it is given.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from inference.engine.config import EngineConfig
from inference.engine.handlers.base import ModelHandler
from inference.errors import InferenceError, LoadFailed, TimedOut
from inference.protocol import FOREVER, LoadedModel, Loading, ModelRef, Quantization

logger = logging.getLogger(__name__)

Key = tuple[str, Quantization]
Loader = Callable[[ModelRef, EngineConfig], ModelHandler]

LOADING_EVENT_SECONDS = 0.5


@dataclass(eq=False)
class Resident:
    """One model: its load, who uses it, and when it may go (monotonic seconds).

    ``model`` is as last asked for: one model may be known under several names.
    """

    model: ModelRef
    load: asyncio.Task[ModelHandler]
    keep_alive: float
    users: int = 0
    since: float = field(default_factory=time.monotonic)
    last_used: float = field(default_factory=time.monotonic)
    timer: asyncio.TimerHandle | None = None

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
    def expires_in(self) -> float:
        if self.keep_alive < 0:
            return FOREVER
        return (
            self.keep_alive if self.users else max(0.0, self.last_used + self.keep_alive - time.monotonic())
        )


class Residents:
    """Holds the residents and decides who may stay."""

    def __init__(self, loader: Loader, config: EngineConfig) -> None:
        self._loader = loader
        self._config = config
        self._residents: dict[Key, Resident] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="load")
        self._change = asyncio.Event()

    def holds(self, model: ModelRef) -> bool:
        """Whether ``model`` is loaded, so that nobody has to wait for it."""
        resident = self._residents.get(_key(model))
        return resident is not None and resident.ready

    def claim(self, model: ModelRef) -> Resident | None:
        """The resident for ``model``, its load begun if need be; ``None`` while all places are in use."""
        if resident := self._residents.get(_key(model)):
            resident.model = model
            return resident
        if len(self._residents) >= self._config.max_models:
            idle = [resident for resident in self._residents.values() if resident.idle]
            if not idle:
                return None
            self._let_go(min(idle, key=lambda resident: resident.last_used))
        load = asyncio.create_task(self._load(model))
        self._residents[_key(model)] = resident = Resident(model, load, self._config.keep_alive)
        load.add_done_callback(lambda _: self._loaded(resident))
        return resident

    @property
    def change(self) -> asyncio.Event:
        """Set when a place may have become free; a new one after each change."""
        return self._change

    @asynccontextmanager
    async def use(self, resident: Resident, keep_alive: float | None) -> AsyncIterator[None]:
        """Keep ``resident`` from going while the block runs; then its time starts again."""
        resident.users += 1
        resident.cancel_timer()
        try:
            yield
        finally:
            resident.users -= 1
            resident.last_used = time.monotonic()
            if keep_alive is not None:
                resident.keep_alive = keep_alive
            self._expire_later(resident)
            self._changed()

    async def loading(self, resident: Resident) -> AsyncIterator[Loading]:
        """Events until the load is over. Its error is raised for everyone who waits."""
        while not resident.load.done():
            seconds = time.monotonic() - resident.since
            if seconds > self._config.load_timeout:
                raise TimedOut(
                    f"Loading {resident.model.name} takes longer than {self._config.load_timeout:.0f} s. "
                    "It goes on: try again later, or raise MODEL_LOAD_TIMEOUT_MS."
                )
            yield Loading(seconds=seconds)
            await asyncio.wait({resident.load}, timeout=LOADING_EVENT_SECONDS)
        resident.load.result()

    async def unload(self, model: ModelRef) -> None:
        """Let ``model`` go now, or as soon as its last request ends."""
        if resident := self._residents.get(_key(model)):
            resident.keep_alive = 0.0
            self._expire_later(resident)

    @property
    def steps(self) -> int:
        """Decoding steps of the models in memory."""
        return sum(resident.handler.steps for resident in self._residents.values() if resident.ready)

    def describe(self) -> tuple[LoadedModel, ...]:
        """What is in memory or on its way there."""
        return tuple(_describe(resident) for resident in self._residents.values())

    async def close(self) -> None:
        """Let everything go; loads that are under way are not waited for."""
        for resident in tuple(self._residents.values()):
            self._let_go(resident)
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _load(self, model: ModelRef) -> ModelHandler:
        logger.info("Loading %s.", model.name)
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._thread, self._loader, model, self._config
            )
        except InferenceError:
            raise
        except Exception as error:
            logger.exception("Loading %s failed.", model.name)
            raise LoadFailed(
                f"{model.name} could not be loaded ({type(error).__name__}). The engine's log says why."
            ) from error

    def _loaded(self, resident: Resident) -> None:
        """After a load: a failed one leaves its place, so that the next request tries again."""
        if resident.ready:
            logger.info("Loaded %s in %.1f s.", resident.model.name, time.monotonic() - resident.since)
            resident.last_used = time.monotonic()
            self._expire_later(resident)
        elif self._residents.get(_key(resident.model)) is resident:
            del self._residents[_key(resident.model)]
        self._changed()

    def _expire_later(self, resident: Resident) -> None:
        resident.cancel_timer()
        if not resident.idle or resident.keep_alive < 0:
            return
        if resident.keep_alive == 0:
            self._let_go(resident)
        else:
            loop = asyncio.get_running_loop()
            resident.timer = loop.call_later(resident.keep_alive, self._let_go, resident)

    def _let_go(self, resident: Resident) -> None:
        if self._residents.get(_key(resident.model)) is not resident:
            return
        del self._residents[_key(resident.model)]
        resident.cancel_timer()
        if resident.ready:
            logger.info("Unloading %s.", resident.model.name)
            self._thread.submit(resident.handler.close)
        self._changed()

    def _changed(self) -> None:
        self._change.set()
        self._change = asyncio.Event()


def _key(model: ModelRef) -> Key:
    """What makes a model another one in memory: not the name it is asked for by."""
    return model.path, model.quantization


def _describe(resident: Resident) -> LoadedModel:
    handler = resident.handler if resident.ready else None
    return LoadedModel(
        name=resident.model.name,
        state="ready" if handler else "loading",
        device=handler.device if handler else "",
        size=handler.size if handler else 0,
        context_length=handler.context_length if handler else 0,
        expires_in=resident.expires_in,
        active=resident.users,
    )
