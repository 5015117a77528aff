"""The thread in which models come and go: one is loaded, or closed, after the other.

Measures what a load takes, and says in our words why one failed. Knows nothing of which models are wanted,
nor of torch: how a model is loaded is a function it is given.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from msgspec.structs import replace

from inference.engine.config import EngineConfig
from inference.engine.handlers.base import ModelHandler
from inference.engine.memory import MemoryKeeper, Need
from inference.engine.threads import in_thread
from inference.errors import InferenceError, LoadFailed
from inference.protocol import ModelRef

logger = logging.getLogger(__name__)

Load = Callable[[ModelRef, EngineConfig], ModelHandler]
T = TypeVar("T")


class Loader:
    """Loads models by ``load``, and lets them go."""

    def __init__(self, load: Load, config: EngineConfig, memory: MemoryKeeper) -> None:
        self._load = load
        self._config = config
        self._memory = memory
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="load")

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """What ``function`` returns, in the thread."""
        return await in_thread(self._thread, function, *arguments)

    def later(self, function: Callable[..., object], *arguments: Any) -> None:
        """Have the thread run ``function`` when its turn comes."""
        self._thread.submit(function, *arguments)

    async def load(self, model: ModelRef, need: Need) -> tuple[ModelHandler, int]:
        """The handler of ``model``, and bytes of memory that it took; ``LoadFailed`` where it broke."""
        logger.info("Loading %s.", model.name)
        try:
            return await self.run(self._load_now, model, need)
        except InferenceError:
            raise
        except Exception as error:
            logger.exception("Loading %s failed.", model.name)
            raise LoadFailed(
                f"{model.name} could not be loaded ({type(error).__name__}). The engine's log says why."
            ) from error

    def close(self, handler: ModelHandler) -> None:
        """Close ``handler`` when its turn comes, and give back what it took."""
        self.later(_close, handler)
        # Not before nothing holds the handler any more.
        self.later(self._memory.settle)

    def end(self) -> None:
        """End the thread; what it is at is not waited for, the rest is cancelled."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _load_now(self, model: ModelRef, need: Need) -> tuple[ModelHandler, int]:
        self._memory.prepare(need)
        before = self._memory.used(need)
        try:
            handler = self._load(model, replace(self._config, placement=need.placement))
        finally:
            self._memory.settle()
        return handler, self._memory.used(need) - before


def _close(handler: ModelHandler) -> None:
    try:
        handler.close()
    except Exception:
        logger.exception("A model could not be closed.")
