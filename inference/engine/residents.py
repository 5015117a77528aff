"""The models in memory: loaded on demand, shared, let go when idle.

The one place that decides what is loaded. Loads run one after the other, once however many wait for it; at
most ``max_models`` are held, and those only that fit into memory: the least recently used idle one makes
room, one in use never. Each leaves ``keep_alive`` seconds after its last request. Knows nothing of torch:
``loader`` loads, and ``memory`` knows what fits.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from inference.engine.backoff import Backoff
from inference.engine.config import EngineConfig
from inference.engine.handlers.base import ModelHandler
from inference.engine.loader import Load, Loader
from inference.engine.memory import MemoryKeeper, Need
from inference.engine.notebook import Kept, Notebook
from inference.engine.resident import Key, Resident, key_of
from inference.errors import DoesNotFit, InferenceError
from inference.protocol import LoadedModel, Loading, ModelRef, Queued
from inference.request_id import for_nobody

logger = logging.getLogger(__name__)

LOADING_EVENT_SECONDS = 0.5
# Bytes: what takes less may lie in holes of the heap, and is not seen to be taken.
DISCERNIBLE = 2**20


class Residents:
    """Holds the residents and decides who may stay."""

    def __init__(self, load: Load, config: EngineConfig, memory: MemoryKeeper, notebook: Notebook) -> None:
        self._loader = Loader(load, config, memory)
        self._config = config
        self._memory = memory
        self._notebook = notebook
        self._residents: dict[Key, Resident] = {}
        self._backoff = Backoff()
        self._turn = asyncio.Lock()
        self._change = asyncio.Event()
        self._closing = False

    def holds(self, model: ModelRef) -> bool:
        """Whether ``model`` is loaded, so that nobody has to wait for it."""
        resident = self._residents.get(key_of(self._config.completed(model)))
        return resident is not None and resident.ready

    def claim(self, model: ModelRef, *, force: bool = False) -> Resident:
        """The resident for ``model``, its load begun if need be.

        A model that failed to load again and again is not tried at once: its last error is raised,
        unless ``force``.
        """
        model = self._config.completed(model)
        if resident := self._residents.get(key_of(model)):
            resident.model = model
            return resident
        if not force:
            self._backoff.check(key_of(model))
        resident = Resident(model, self._config.keep_alive, force)
        resident.waiting = self._turn.locked() or not self._has_place(resident)
        self._residents[key_of(model)] = resident
        resident.load = asyncio.create_task(self._load(resident))
        resident.load.add_done_callback(lambda _: self._loaded(resident))
        return resident

    @asynccontextmanager
    async def use(self, resident: Resident, keep_alive: float | None) -> AsyncIterator[None]:
        """Keep ``resident`` from going while the block runs; then its time starts again."""
        resident.users += 1
        resident.stopping = False
        resident.cancel_timer()
        try:
            yield
        finally:
            resident.users -= 1
            resident.last_used = time.monotonic()
            if keep_alive is not None:
                resident.keep_alive = keep_alive
                self._remember()
            if resident.waiting and resident.users == 0:
                self._let_go(resident)
            self._expire_later(resident)
            self._changed()

    async def loading(self, resident: Resident) -> AsyncIterator[Loading | Queued]:
        """Events until the load is over. Its error is raised for everyone who waits."""
        while not resident.load.done():
            seconds = time.monotonic() - resident.since
            if seconds > self._config.load_timeout:
                raise resident.too_long(self._config.load_timeout)
            yield Queued(position=self._position(resident)) if resident.waiting else Loading(seconds=seconds)
            await asyncio.wait({resident.load}, timeout=LOADING_EVENT_SECONDS)
        resident.load.result()

    async def unload(self, model: ModelRef, *, every: bool = False) -> None:
        """Let ``model`` go now, or as soon as its last request ends; ``every`` load of it."""
        wanted = key_of(self._config.completed(model))
        for key, resident in tuple(self._residents.items()):
            if key == wanted or (every and resident.model.path == model.path):
                resident.stopping = True
                self._expire_later(resident)

    async def warm(self) -> None:
        """Load what was loaded when the engine last ended, as far as there are places and memory."""
        wanted = self._notebook.notes.loaded[-self._config.max_models :]
        # Should one of them end the engine, the next one starts without.
        await self._loader.run(self._notebook.note_loaded, ())
        for kept in wanted:
            resident = self.claim(kept.model)
            resident.keep_alive = kept.keep_alive
            await asyncio.wait({resident.load})

    @property
    def steps(self) -> int:
        """Decoding steps of the models in memory."""
        return sum(resident.handler.steps for resident in self._residents.values() if resident.ready)

    def describe(self) -> tuple[LoadedModel, ...]:
        """What is in memory or on its way there; not what waits for a place."""
        return tuple(each.describe() for each in self._residents.values() if not each.waiting)

    def line(self) -> tuple[LoadedModel, ...]:
        """What waits for a place."""
        return tuple(each.describe() for each in self._residents.values() if each.waiting)

    async def close(self) -> None:
        """Let everything go; loads that are under way are not waited for."""
        kept, self._closing = self._kept(), True
        for resident in tuple(self._residents.values()):
            self._let_go(resident)
        self._loader.end()
        # Here, since what the thread had still to write is cancelled.
        self._notebook.note_loaded(kept)

    async def _load(self, resident: Resident) -> ModelHandler:
        async with self._turn:
            # What this refuses costs nothing to ask again: it is not held off.
            need = await self._loader.run(self._memory.need, resident.model)
            try:
                return await self._load_measured(resident, await self._make_room(resident, need))
            except InferenceError as error:
                if not isinstance(error, DoesNotFit):
                    self._backoff.failed(key_of(resident.model), error)
                raise

    async def _load_measured(self, resident: Resident, need: Need) -> ModelHandler:
        resident.since, resident.waiting = time.monotonic(), False
        # What an offloaded model takes of the device while it rests says nothing of it.
        alone = need.placement == "whole" and self._is_alone(resident)
        handler, memory = await self._loader.load(resident.model, need)
        # What others took or gave back in the meantime cannot be told apart.
        alone = alone and self._is_alone(resident)
        if alone and memory >= DISCERNIBLE and not handler.provisional:
            resident.memory, resident.resting = memory, max(0, memory - handler.reserved)
            await self._loader.run(self._memory.note, need, resident.resting)
        return handler

    def _is_alone(self, resident: Resident) -> bool:
        """Whether no other model is in use, which would take memory too."""
        return all(other.idle for other in self._others(resident))

    async def _make_room(self, resident: Resident, need: Need) -> Need:
        """Wait for a place and memory, which the oldest idle models give up; ``need`` as it then fits.

        ``DoesNotFit`` if all models together would not give enough, unless the load is forced.
        """
        while True:
            change = self._change
            now = await self._loader.run(self._memory.placed, need, 0)
            others = self._others(resident)
            spare = sum(other.size for other in others)
            best = now if now is need else await self._loader.run(self._memory.placed, need, spare)
            if not resident.force and best is None:
                free = await self._loader.run(self._memory.free, need)
                raise await self._loader.run(self._memory.refusal, need, free)
            has_memory = now == (best or need) or (resident.force and all(not other.idle for other in others))
            if has_memory and len(others) < self._config.max_models:
                return now or need
            if not self._let_oldest_go(others):
                resident.waiting = True
                await change.wait()

    def _others(self, resident: Resident) -> list[Resident]:
        """The models that are in memory beside ``resident``."""
        return [other for other in self._residents.values() if other.ready and other is not resident]

    def _has_place(self, resident: Resident) -> bool:
        others = self._others(resident)
        return len(others) < self._config.max_models or any(other.idle for other in others)

    def _let_oldest_go(self, others: Iterable[Resident]) -> bool:
        """Let the least recently used idle model go, if there is one."""
        idle = [other for other in others if other.idle]
        if idle:
            self._let_go(min(idle, key=lambda other: other.last_used))
        return bool(idle)

    def _position(self, resident: Resident) -> int:
        """The place in the line of models that wait to be loaded."""
        line = [other for other in self._residents.values() if other.waiting]
        return line.index(resident) + 1

    def _loaded(self, resident: Resident) -> None:
        """After a load: a failed one leaves its place, so that the next request tries again."""
        if resident.ready:
            logger.info("Loaded %s in %.1f s.", resident.model.name, time.monotonic() - resident.since)
            self._backoff.worked(key_of(resident.model))
            resident.last_used = time.monotonic()
            self._expire_later(resident)
        elif self._residents.get(key_of(resident.model)) is resident:
            del self._residents[key_of(resident.model)]
        self._remember()
        self._changed()

    def _expire_later(self, resident: Resident) -> None:
        resident.cancel_timer()
        if not resident.idle or (resident.keep_alive < 0 and not resident.stopping):
            return
        if resident.keep_alive == 0 or resident.stopping:
            self._let_go(resident)
        else:
            loop = asyncio.get_running_loop()
            resident.timer = loop.call_later(
                resident.keep_alive, self._let_go, resident, context=for_nobody()
            )

    def _let_go(self, resident: Resident) -> None:
        if self._residents.get(key_of(resident.model)) is not resident:
            return
        del self._residents[key_of(resident.model)]
        resident.cancel_timer()
        if resident.ready:
            logger.info("Unloading %s.", resident.model.name)
            self._loader.close(resident.handler)
        else:
            resident.load.cancel()
        self._remember()
        self._changed()

    def _remember(self) -> None:
        """Note what is in memory; not at the end, when all go."""
        if not self._closing:
            self._loader.later(self._notebook.note_loaded, self._kept())

    def _kept(self) -> tuple[Kept, ...]:
        return tuple(Kept(each.model, each.keep_alive) for each in self._residents.values() if each.ready)

    def _changed(self) -> None:
        self._change.set()
        self._change = asyncio.Event()
