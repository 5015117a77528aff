"""Measures a running server: speed alone and in company, time to the first token, cost of the web.

Everything is measured in one run on one machine and given as ratios, since absolute figures
belong to the machine. Knows nothing of how the server was started.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import httpx2
from django.conf import settings

from aliases.selectors import Target
from inference.errors import InferenceError
from inference.protocol import Done, Generate, Options, Text
from inference.providers.registry import get_provider

STREAMS = (1, 4, 8, 16)
RUNS = 3
TOKENS = 64
TURNS = 10
# About 200 tokens in most vocabularies.
STORY = "Once upon a time there was a fox who lived at the edge of a wood and knew every path in it. " * 9


@dataclass(frozen=True)
class Answer:
    """One answer: seconds to the first text, seconds from there to the end, tokens."""

    first: float
    writing: float
    tokens: int

    @property
    def speed(self) -> float:
        return (self.tokens - 1) / self.writing


@dataclass(frozen=True)
class Bench:
    """Measures the server at ``url`` with the model of ``target``."""

    url: str
    target: Target

    def baseline(self) -> dict[str, float]:
        """What ``model.generate`` achieves in a bare process."""
        command = [
            sys.executable,
            "-m",
            "inference.engine.baseline",
            self.target.model.path,
            STORY,
            str(TOKENS),
        ]
        done = subprocess.run(command, capture_output=True, text=True, cwd=settings.BASE_DIR)  # noqa: S603
        if done.returncode:
            raise InferenceError(f"The baseline failed: {done.stderr.strip().splitlines()[-1]}")
        result: dict[str, float] = json.loads(done.stdout)
        return result

    async def streams(self, count: int) -> tuple[float, float]:
        """Total tokens a second of ``count`` streams at once, and the median time to the first token."""
        runs = []
        for run in range(RUNS):
            started = time.perf_counter()
            prompts = [f"{run}.{index} {STORY}" for index in range(count)]
            answers = await asyncio.gather(*(self._over_http(prompt) for prompt in prompts))
            seconds = time.perf_counter() - started
            runs.append(
                (sum(answer.tokens for answer in answers) / seconds, median(a.first for a in answers))
            )
        return median(speed for speed, _ in runs), median(first for _, first in runs)

    async def alone(self) -> Answer:
        """One stream over HTTP; the median run."""
        return await self._median(self._over_http)

    async def at_the_engine(self) -> Answer:
        """One stream straight from the engine; the median run."""
        return await self._median(self._over_socket)

    async def turns(self) -> tuple[float, float]:
        """Seconds to the first token of turn 10 of a conversation, and of the same text not read before."""
        talk = f"talk {time.time()} "
        # A token has a character at least, so ten of these fit into any context.
        piece = STORY[: self.target.record.context_length // TURNS - 40]
        for turn in range(TURNS):
            talk += f"{piece} turn {turn}."
            last = await self._over_http(talk, tokens=8)
        fresh = await self._over_http(f"fresh {talk}", tokens=8)
        return last.first, fresh.first

    async def _median(self, ask: Any) -> Answer:
        answers = [await ask(f"{time.time()} {STORY}") for _ in range(RUNS)]
        return sorted(answers, key=lambda answer: answer.speed)[RUNS // 2]

    async def _over_http(self, prompt: str, tokens: int = TOKENS) -> Answer:
        body = {
            "model": self.target.model.name,
            "prompt": prompt,
            "raw": True,
            "options": {"temperature": 0, "num_predict": tokens},
        }
        started = time.perf_counter()
        async with (
            httpx2.AsyncClient(timeout=None) as client,
            client.stream("POST", f"{self.url}/api/generate", json=body) as response,
        ):
            response.raise_for_status()
            frames = [(time.perf_counter(), json.loads(line)) async for line in response.aiter_lines()]
        return _answer(started, [moment for moment, _ in frames], frames[-1][1]["eval_count"])

    async def _over_socket(self, prompt: str) -> Answer:
        options = Options(temperature=0, num_predict=TOKENS)
        request = Generate(model=self.target.model, prompt=prompt, options=options)
        started, moments, tokens = time.perf_counter(), [], 0
        async for event in _texts(self.target.provider, request):
            moments.append(time.perf_counter())
            tokens = event.usage.completion if isinstance(event, Done) else tokens
        return _answer(started, moments, tokens)


async def _texts(provider: str, request: Generate) -> AsyncIterator[Text | Done]:
    async for event in get_provider(provider).stream(request):
        if isinstance(event, Text | Done):
            yield event


def _answer(started: float, moments: list[float], tokens: int) -> Answer:
    return Answer(moments[0] - started, moments[-1] - moments[0], tokens)
