"""The pulls of this server: each belongs to the server, not to the one who asked first.

Whoever asks for a model that is being pulled joins in. A pull goes on while anybody asks, and a
little longer, so that a page can be loaded again. Lives in the event loop; each pull works in a
thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator

from django.db import connections

from inference.errors import Busy, Draining, InferenceError
from inference.store.progress import Progress, PullFailed, PullState
from inference.store.pull import PullOrder, pull_run

# Of as many models at a time: each has a thread, and all share one line.
MOST = 64
LINGER_SECONDS = 3.0
POLL_SECONDS = 0.05


class Job:
    """A pull in a thread of its own, and how many ask for it."""

    def __init__(self, order: PullOrder) -> None:
        self.key = order.key
        self.progress = Progress()
        self.state: PullState = self.progress
        self.askers = 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(order,), name=f"pull {order.key}", daemon=True)
        self.thread.start()

    @property
    def over(self) -> bool:
        return not isinstance(self.state, Progress)

    def _run(self, order: PullOrder) -> None:
        try:
            pull_run(order, self._show, self.stop)
        except InferenceError as error:
            self._show(PullFailed(error.code, error.message))
        finally:
            if not self.over:
                # A fault of ours, which the log tells: nobody is to wait for ever.
                self._show(PullFailed(InferenceError.code, InferenceError().message))
            connections.close_all()

    def _show(self, state: PullState) -> None:
        if isinstance(state, Progress):
            self.progress = state
        self.state = state


class Pulls:
    """All pulls of this process. ``draining`` ends them: they go on when they are asked for again."""

    def __init__(self, linger: float = LINGER_SECONDS) -> None:
        self.draining = False
        self._linger = linger
        self._jobs: dict[str, Job] = {}

    def current(self) -> dict[str, PullState]:
        """What is being pulled now, and how far each is. From any thread."""
        # In one step: others may begin meanwhile.
        jobs = list(self._jobs.values())
        return {job.key: job.state for job in jobs if not job.over}

    async def follow(self, order: PullOrder) -> AsyncGenerator[PullState, None]:
        """Ask for a model: what there is to say now, each change of it, and last how it ended.

        Raises ``Draining`` when the server stops meanwhile, ``Busy`` where too many others are pulled.
        """
        job = self._join(order)
        try:
            shown: Progress | None = None
            while True:
                if self.draining:
                    raise Draining
                if (progress := job.progress) is not shown:
                    shown = progress
                    yield progress
                elif job.over:
                    yield job.state
                    return
                else:
                    await asyncio.sleep(POLL_SECONDS)
        finally:
            job.askers -= 1
            asyncio.get_running_loop().call_later(self._linger, self._drop, job)

    def running(self) -> int:
        """None that the server would have to wait for: what has arrived is kept."""
        return 0

    async def close(self) -> None:
        for job in self._jobs.values():
            job.stop.set()

    def _join(self, order: PullOrder) -> Job:
        job = self._jobs.get(order.key)
        if job is None or job.over or job.stop.is_set():
            if len(self.current()) >= MOST:
                raise Busy(f"{MOST} models are being pulled already. Try again when one of them is here.")
            job = self._jobs[order.key] = Job(order)
        job.askers += 1
        return job

    def _drop(self, job: Job) -> None:
        if job.askers:
            return
        job.stop.set()
        if self._jobs.get(job.key) is job:
            del self._jobs[job.key]


PULLS = Pulls()
