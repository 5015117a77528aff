"""Work that goes on when its request has been answered: pulls and loads. Lives on the server's event loop.

A pull that is begun here is asked for by the server itself, until it is over or somebody cancels it:
the page it was begun on may be loaded again, or closed. Others who ask for the same model (clients of
``/api/pull``, commands) are askers beside it, and a cancel leaves theirs alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Literal

from inference.engines import engine_load
from inference.errors import InferenceError
from inference.protocol import ModelRef
from inference.store.progress import FileProgress, Progress, PullEnding, PullFailed, PullState
from inference.store.pull import PullOrder
from inference.store.pulls import PULLS, Pulls

logger = logging.getLogger(__name__)

# How long a request waits for what can be said at once: that it is there, or that it cannot be.
ANSWER_SECONDS = 0.5
# How many pulls that are over are remembered, for the page that comes back.
MOST_ENDINGS = 20
_TASKS: set[asyncio.Task[None]] = set()


@dataclass(frozen=True)
class PullShown:
    """A pull as a page shows it. ``ours``: it was begun here, and can be cancelled."""

    key: str
    state: PullState
    ours: bool

    @property
    def progress(self) -> Progress | None:
        """How far it is, ``None`` where it is over."""
        return self.state if isinstance(self.state, Progress) else None

    @property
    def files(self) -> list[FileProgress]:
        """Its files, those that are coming first, those that are here last."""
        files = self.progress.files if self.progress else ()
        return sorted(files, key=lambda file: (file.done >= file.size, not file.done))

    @property
    def failed(self) -> bool:
        return isinstance(self.state, PullFailed)


class PullJobs:
    """The pulls that the server asks for, and how the latest ones ended."""

    def __init__(self, pulls: Pulls) -> None:
        self._pulls = pulls
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._endings: dict[str, PullEnding] = {}

    async def begin(self, order: PullOrder) -> PullState:
        """Begin to pull, or join in, and say how far it is."""
        key = order.key
        self._endings.pop(key, None)
        asking = self._asking.get(key)
        if asking is None or asking.done():
            asking = self._asking[key] = _keep(self._ask(order))
        await _moment(asking)
        return self._endings.get(key) or self._pulls.current().get(key, Progress())

    async def cancel(self, key: str) -> bool:
        """Ask for it no longer; says whether it was asked for. It ends if nobody else does."""
        asking = self._asking.pop(key, None)
        return asking is not None and asking.cancel()

    async def forget(self, key: str) -> None:
        """Say no more how it ended."""
        self._endings.pop(key, None)

    async def shown(self) -> list[PullShown]:
        """What is being pulled by whomever, and how the latest that were begun here ended."""
        # One that is over a moment ago is heard of a moment later.
        ending = dict.fromkeys(self._asking, Progress(step="checking"))
        states: dict[str, PullState] = {**ending, **self._endings, **self._pulls.current()}
        return [PullShown(key, state, key in self._asking) for key, state in states.items()]

    async def _ask(self, order: PullOrder) -> None:
        try:
            async with contextlib.aclosing(self._pulls.follow(order)) as states:
                async for state in states:
                    if not isinstance(state, Progress):
                        self._ended(order.key, state)
        finally:
            if self._asking.get(order.key) is asyncio.current_task():
                del self._asking[order.key]

    def _ended(self, key: str, ending: PullEnding) -> None:
        self._endings[key] = ending
        while len(self._endings) > MOST_ENDINGS:
            del self._endings[next(iter(self._endings))]


PULL_JOBS = PullJobs(PULLS)


async def load_begin(
    provider: str, model: ModelRef, keep_alive: float | None = None
) -> Literal["loading", "loaded"]:
    """Have ``model`` loaded, and say whether it is; what forbids it is raised when that is known at once."""
    load = _keep(engine_load(provider, model, keep_alive))
    await _moment(load)
    return "loaded" if load.done() else "loading"


def _keep(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    task = asyncio.create_task(work)
    _TASKS.add(task)
    task.add_done_callback(_forget)
    return task


async def _moment(task: asyncio.Task[None]) -> None:
    """Wait for what can be said at once; an error by then is raised. Else it goes on."""
    done, _ = await asyncio.wait({task}, timeout=ANSWER_SECONDS)
    if done and not task.cancelled():
        task.result()


def _forget(task: asyncio.Task[None]) -> None:
    _TASKS.discard(task)
    if not task.cancelled() and (error := task.exception()):
        level = logging.INFO if isinstance(error, InferenceError) else logging.ERROR
        logger.log(level, "Work that a request began has failed: %s", error)
