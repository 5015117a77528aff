"""The engine's core: a request goes in, events come out.

``Engine.submit`` has no I/O of its own, so that the socket server, a test in the same process or
a distributed runtime is each a thin shell around it. Closing the iterator cancels the request.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

import msgspec

from inference.engine.config import EngineConfig
from inference.engine.resident import Resident
from inference.engine.residents import Residents
from inference.errors import Busy
from inference.protocol import (
    Done,
    EngineStatus,
    Event,
    Events,
    Load,
    Loaded,
    Request,
    Status,
    Timings,
    Unload,
    Work,
)


class Engine:
    """Answers requests with the models that ``residents`` holds."""

    def __init__(self, residents: Residents, config: EngineConfig) -> None:
        self._residents = residents
        self._max_queue = config.max_queue
        self._waiting = 0

    async def submit(self, request: Request) -> Events:
        """The events of ``request``; ``Done`` is the last, a failure is raised."""
        match request:
            case Status():
                yield self.status()
                yield Done(reason="status")
            case Unload(model=model, every=every):
                await self._residents.unload(model, every=every)
                yield Done(reason="unload")
            case _:
                async with contextlib.aclosing(self._work(request)) as events:
                    async for event in events:
                        yield event

    async def _work(self, request: Load | Work) -> Events:
        """Wait for a place, load the model if need be, answer; all of it timed."""
        started = time.perf_counter_ns()
        with contextlib.ExitStack() as line:
            if is_new := not self._residents.holds(request.model):
                line.enter_context(self._in_line())
            resident = self._residents.claim(request.model, force=_is_forced(request))
            async with self._residents.use(resident, request.keep_alive):
                async for loading in self._residents.loading(resident):
                    yield loading
                line.close()
                loaded = time.perf_counter_ns()
                if is_new:
                    yield Loaded(memory=resident.resting)
                async with contextlib.aclosing(self._answer(resident, request)) as events:
                    async for event in events:
                        yield _timed(event, load=loaded - started, started=started)

    @contextlib.contextmanager
    def _in_line(self) -> Iterator[None]:
        """Count one that waits for a model to be loaded; ``Busy`` when as many wait as may."""
        # The first does not wait for others: the load is its own.
        if self._waiting > self._max_queue:
            raise Busy
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    @staticmethod
    async def _answer(resident: Resident, request: Load | Work) -> Events:
        if isinstance(request, Load):
            yield Done(reason="load")
            return
        async with contextlib.aclosing(resident.handler.run(request)) as events:
            async for event in events:
                yield event

    def status(self) -> EngineStatus:
        """What is loaded, what waits to be, and how many steps were made."""
        return EngineStatus(
            pid=os.getpid(),
            steps=self._residents.steps,
            models=self._residents.describe(),
            line=self._residents.line(),
        )

    async def warm(self) -> None:
        """Load what was loaded when the engine last ended."""
        await self._residents.warm()

    async def close(self) -> None:
        """Let every model go."""
        await self._residents.close()


def _is_forced(request: Load | Work) -> bool:
    return isinstance(request, Load) and request.force


def _timed(event: Event, *, load: int, started: int) -> Event:
    """``event``; if it is the last, with the times that only the core knows."""
    if not isinstance(event, Done):
        return event
    timings: Timings = msgspec.structs.replace(
        event.timings, load=load, total=time.perf_counter_ns() - started
    )
    return msgspec.structs.replace(event, timings=timings)
