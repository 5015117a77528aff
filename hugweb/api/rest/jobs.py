"""Work that goes on when its request has been answered: pulls and loads. Lives on the server's event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any, Literal

from inference.engines import engine_load
from inference.errors import InferenceError
from inference.protocol import ModelRef
from inference.store.progress import Progress, PullState
from inference.store.pull import PullOrder
from inference.store.pulls import PULLS

logger = logging.getLogger(__name__)

# How long a request waits for what can be said at once: that it is there, or that it cannot be.
ANSWER_SECONDS = 0.5
_TASKS: set[asyncio.Task[None]] = set()


async def pull_begin(order: PullOrder) -> PullState:
    """Begin to pull, or join in, and say how far it is."""
    key = order.key
    ended: list[PullState] = []

    async def follow() -> None:
        async with contextlib.aclosing(PULLS.follow(order)) as states:
            async for state in states:
                if not isinstance(state, Progress):
                    ended.append(state)

    await _within(follow())
    return ended[0] if ended else PULLS.current().get(key, Progress())


async def load_begin(provider: str, model: ModelRef) -> Literal["loading", "loaded"]:
    """Have ``model`` loaded, and say whether it is; what forbids it is raised when that is known at once."""
    return "loaded" if await _within(engine_load(provider, model)) else "loading"


async def _within(work: Coroutine[Any, Any, None]) -> bool:
    """Whether ``work`` is done within a moment; an error by then is raised. Else it goes on."""
    task = asyncio.create_task(work)
    _TASKS.add(task)
    task.add_done_callback(_forget)
    done, _ = await asyncio.wait({task}, timeout=ANSWER_SECONDS)
    if done:
        task.result()
    return bool(done)


def _forget(task: asyncio.Task[None]) -> None:
    _TASKS.discard(task)
    if not task.cancelled() and (error := task.exception()):
        level = logging.INFO if isinstance(error, InferenceError) else logging.ERROR
        logger.log(level, "Work that a request began has failed: %s", error)
