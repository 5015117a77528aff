"""Asks a server for streamed answers, and times them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import httpx2

# About 200 tokens in most vocabularies.
STORY = "Once upon a time there was a fox who lived at the edge of a wood and knew every path in it. " * 9


@dataclass(frozen=True)
class Answer:
    """One answer: seconds to the first text and from there to the end, tokens and pieces they came in."""

    first: float
    writing: float
    tokens: int

    @property
    def speed(self) -> float:
        """Tokens a second, the first not counted."""
        return (self.tokens - 1) / max(self.writing, 1e-9)


@dataclass(frozen=True)
class Effort:
    """How much is measured: tokens of an answer, and runs of which the median counts.

    Where a server cannot be told to ``ignore_eos``, answers may be shorter; what came is counted.
    """

    tokens: int = 128
    runs: int = 3
    ignore_eos: bool = True


class Asker:
    """Asks the server at ``url`` for ``model``; ``api`` is the path of Ollama's or OpenAI's chat."""

    def __init__(self, client: httpx2.AsyncClient, url: str, model: str, api: str, effort: Effort) -> None:
        self._client = client
        self._effort = effort
        self._url = f"{url}{api}"
        self._model = model
        self._ollama = api.startswith("/api/")

    async def ask(self, messages: list[dict[str, str]], tokens: int = 0) -> Answer:
        """The answer to ``messages``, greedy, as many tokens as are wanted where the server can do that."""
        started = time.perf_counter()
        moments: list[float] = []
        counted = 0
        async for frame in self._frames(self._body(messages, tokens or self._effort.tokens)):
            if "error" in frame:
                raise RuntimeError(f"{self._url} answered: {frame['error']}")
            if self._text(frame):
                moments.append(time.perf_counter())
            counted = self._count(frame) or counted
        # Tokens may be none that can be shown.
        moments = moments or [time.perf_counter()]
        return Answer(moments[0] - started, moments[-1] - moments[0], counted or len(moments))

    async def ask_story(self, tokens: int = 0) -> Answer:
        """A prompt that was never read before: it differs from its first token on."""
        return await self.ask([{"role": "user", "content": f"{time.perf_counter_ns()} {STORY}"}], tokens)

    async def alone(self) -> Answer:
        """One stream; the run of median speed."""
        answers = [await self.ask_story() for _ in range(self._effort.runs)]
        return sorted(answers, key=lambda answer: answer.speed)[len(answers) // 2]

    async def together(self, count: int) -> tuple[float, float]:
        """``count`` streams at once: total tokens a second, prompts included, and the median time to the
        first token; medians over the runs."""
        runs = []
        for _ in range(self._effort.runs):
            started = time.perf_counter()
            answers = await asyncio.gather(*(self.ask_story() for _ in range(count)))
            seconds = time.perf_counter() - started
            runs.append((sum(answer.tokens for answer in answers) / seconds, _median_first(answers)))
        return median(speed for speed, _ in runs), median(first for _, first in runs)

    async def turns(self, count: int, piece: str) -> tuple[float, float]:
        """Seconds to the first token of turn ``count`` of a conversation that grows by ``piece``, and of the
        same conversation when nothing of it was read before."""
        messages = [{"role": "user", "content": f"{time.perf_counter_ns()} {piece}"}]
        for _ in range(count - 1):
            await self.ask(messages, tokens=8)
            messages += [{"role": "assistant", "content": "I see."}, {"role": "user", "content": piece}]
        last = await self.ask(messages, tokens=8)
        unread = [{**messages[0], "content": f"{time.perf_counter_ns()} {piece}"}, *messages[1:]]
        return last.first, (await self.ask(unread, tokens=8)).first

    def _body(self, messages: list[dict[str, str]], tokens: int) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self._model, "messages": messages, "stream": True}
        if self._ollama:
            return body | {"options": {"temperature": 0, "num_predict": tokens, "ignore_eos": True}}
        more = {"ignore_eos": True} if self._effort.ignore_eos else {}
        usage = {"stream_options": {"include_usage": True}}
        return body | {"temperature": 0, "max_tokens": tokens} | usage | more

    async def _frames(self, body: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """The frames of an answer: lines of JSON, or OpenAI's events."""
        async with self._client.stream("POST", self._url, json=body) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                line = line.removeprefix("data:").strip()
                if line.startswith("{"):
                    yield json.loads(line)

    def _text(self, frame: dict[str, Any]) -> str:
        if self._ollama:
            text: str = frame["message"]["content"]
            return text
        return "".join(choice["delta"].get("content") or "" for choice in frame.get("choices", ()))

    def _count(self, frame: dict[str, Any]) -> int:
        count: int = (
            frame.get("eval_count", 0)
            if self._ollama
            else (frame.get("usage") or {}).get("completion_tokens", 0)
        )
        return count


@contextlib.asynccontextmanager
async def asking(url: str, model: str, api: str, effort: Effort) -> AsyncIterator[Asker]:
    """An ``Asker`` whose connections stay open between questions, as those of real clients do."""
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx2.AsyncClient(timeout=600, limits=limits) as client:
        yield Asker(client, url, model, api, effort)


def _median_first(answers: list[Answer]) -> float:
    return median(answer.first for answer in answers)
