"""The batch of an encoder: texts of all waiting requests, read together in passes of similar length.

An encoder reads a text in one pass and is done with it, so there are no slots. Each pass takes from
the request that has waited longest, fills up with others' texts of about that length, and sends
that request to the end of the line: a long list of texts does not keep a short one waiting.

All state belongs to the event loop; only the passes run in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from inference.engine.threads import in_thread
from inference.errors import Busy, InferenceError
from inference.protocol import Events, Queued, Reading
from inference.request_id import for_nobody, identified, request_id, shared_id

logger = logging.getLogger(__name__)

# Tokens in a pass, padding included: enough to keep the device busy, and a bound on memory and on the
# time until a cancel is noticed. A longer text goes alone. A core is busy with 500 tokens; with more of
# them, texts are less alike, and more of the pass is padding.
MOST_TOKENS = 4096
MOST_TOKENS_ON_CPU = 1024
MOST_ROWS = 64

Encoding = dict[str, list[int]]
"""What a tokenizer makes of one text: token ids, and types where the model has them."""
Encode = Callable[[Sequence[Encoding]], Sequence[Any]]
"""One result for each encoding, all in one pass."""


@dataclass(eq=False)
class Job:
    """The texts of one request. ``results`` are whole once the batch has run it."""

    texts: Sequence[Encoding]
    results: list[Any] = field(init=False)
    error: InferenceError | None = None
    request: str = field(default_factory=request_id)

    def __post_init__(self) -> None:
        self.results = [None] * len(self.texts)
        self.tokens = sum(map(length, self.texts))
        self.done = 0
        self.changed = asyncio.Event()
        # The longest is last, and goes first.
        self.waiting = sorted(range(len(self.texts)), key=lambda index: length(self.texts[index]))


Place = tuple[Job, int]


class EncoderBatch:
    """Runs jobs through ``encode``, at most ``most`` tokens a pass. Made anywhere, used on the event loop."""

    def __init__(self, encode: Encode, *, max_queue: int, most: int) -> None:
        self._encode = encode
        self._most = most
        self._max_queue = max_queue
        self._jobs: deque[Job] = deque()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="encoder")
        self._pump: asyncio.Task[None] | None = None
        self.steps = 0

    async def run(self, job: Job) -> Events:
        """How far ``job`` is, until it is done. Closing the iterator takes it out of the line."""
        if not job.texts:
            return
        if len(self._jobs) > self._max_queue:
            raise Busy
        before = len(self._jobs)
        self._jobs.append(job)
        if self._pump is None:
            self._pump = asyncio.create_task(self._run_all(), context=for_nobody())
        try:
            if before:
                yield Queued(position=before)
            while job.done < job.tokens:
                await job.changed.wait()
                job.changed.clear()
                if job.error:
                    break
                yield Reading(done=job.done, total=job.tokens)
            # Also where a text failed while whoever asked was looking at how far the others are.
            if job.error:
                raise job.error
        finally:
            self._leave(job)

    def close(self) -> None:
        """End the thread; blocks until its pass has ended."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def _run_all(self) -> None:
        """One pass after the other, while anybody waits."""
        try:
            while self._jobs:
                places = pick(self._jobs, self._most)
                self._hand_out(places, await self._pass(places))
                self.steps += 1
        finally:
            self._pump = None

    async def _pass(self, places: Sequence[Place]) -> Sequence[Any]:
        try:
            return await in_thread(self._thread, self._tried, places)
        except Exception:
            with _identified(places):
                logger.exception("A pass failed in a way that nobody foresaw.")
            return [InferenceError()] * len(places)

    def _hand_out(self, places: Iterable[Place], results: Iterable[Any]) -> None:
        for (job, index), result in zip(places, results, strict=True):
            if isinstance(result, InferenceError):
                job.error = result
                self._leave(job)
            job.results[index] = result
            job.done += length(job.texts[index])
            job.changed.set()
            if not job.waiting:
                self._leave(job)

    def _leave(self, job: Job) -> None:
        if job in self._jobs:
            self._jobs.remove(job)

    def _tried(self, places: Sequence[Place]) -> list[Any]:
        """The results; if a pass fails, smaller ones, down to the text that cannot be helped."""
        try:
            with _identified(places):
                return list(self._encode([job.texts[index] for job, index in places]))
        except InferenceError as error:
            if len(places) == 1:
                return [error]
            middle = len(places) // 2
            return self._tried(places[:middle]) + self._tried(places[middle:])


def _identified(places: Iterable[Place]) -> contextlib.AbstractContextManager[None]:
    """Work for the request that all of ``places`` are of, or for several."""
    return identified(shared_id(job.request for job, _ in places))


def length(text: Encoding) -> int:
    """Tokens of a text."""
    return len(text["input_ids"])


def pick(jobs: deque[Job], most: int) -> list[Place]:
    """The texts of the next pass, taken from ``jobs``; the first of them goes to the end of the line.

    Rows times the longest stay within ``most``, and none is shorter than half of the longest.
    """
    picked: list[Place] = []
    shortest = longest = 0
    for job in tuple(jobs):
        while job.waiting and len(picked) < MOST_ROWS:
            tokens = length(job.texts[job.waiting[-1]])
            if picked:
                low, high = min(shortest, tokens), max(longest, tokens)
                if 2 * low < high or high * (len(picked) + 1) > most:
                    break
                shortest, longest = low, high
            else:
                shortest = longest = tokens
            picked.append((job, job.waiting.pop()))
    jobs.rotate(-1)
    return picked
