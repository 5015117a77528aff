"""What is measured, and how it is said: rows of a table, each a figure with its ratio."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from statistics import median

from django.conf import settings

from aliases.target import Target
from hugweb.bench.asking import STORY, Answer, Effort, asking
from hugweb.bench.servers import OPENAI, PEERS, Running, free_port, hugweb, pin, running
from inference.client import EngineClient
from inference.protocol import Done, Generate, Message, Options, Text

OLLAMA = "/api/chat"
STREAMS = (1, 4, 8, 16)
TURNS = 10
SHORT_QUESTIONS = 20
MEGABYTE = 10**6


@dataclass(frozen=True)
class Row:
    """A line of the result: who was measured, what, the figure, and against what it is a ratio."""

    who: str
    what: str
    value: float
    unit: str
    ratio: float | None = None
    to: str = ""


@dataclass(frozen=True)
class Bench:
    """Measures with the model of ``target``, each server with ``threads`` threads."""

    target: Target
    threads: int
    effort: Effort

    def run(self) -> Iterator[Row]:
        """All measures, as they come."""
        pin(os.getpid(), servers=False, threads=self.threads)
        alone = self._generate()
        yield Row("model.generate", "one stream", alone["tokens_per_second"], "tok/s")
        peers: dict[int, float] = {}
        for peer in PEERS:
            if not peer.installed():
                yield Row(peer.name, "not installed here", 0, "")
                continue
            port = free_port()
            command = peer.command(self.target.model.path, port)
            with running(command, port, peer.ready, self._environment()) as server:
                effort = replace(self.effort, ignore_eos=peer.ignore_eos)
                measured = self._streams(server.url, self.target.model.path, effort)
                for count, total, first in asyncio.run(measured):
                    peers[count] = max(peers.get(count, 0), total)
                    yield from _stream_rows(peer.name, count, total, first)
                yield Row(peer.name, "memory, loaded", server.memory() / MEGABYTE, "MB")
        with hugweb(self._environment()) as server:
            yield from self._hugweb(server, alone["tokens_per_second"], peers)

    def _hugweb(self, server: Running, generate: float, peers: dict[int, float]) -> Iterator[Row]:
        name = f"HugWeb, {self.target.model.name}"
        yield Row(name, "memory, nothing loaded", server.memory() / MEGABYTE, "MB")
        cold = asyncio.run(self._cold(server))
        yield Row(name, "process started to first token", cold, "s")
        server.settle()
        one, engine = asyncio.run(self._alone(server))
        yield Row(name, "one stream", one.speed, "tok/s", one.speed / generate, "model.generate")
        per_token = one.writing / one.tokens - engine.writing / engine.tokens
        yield Row(name, "the web adds to each token", per_token * 1000, "ms")
        first = asyncio.run(self._added_to_the_first(server))
        yield Row(name, "the web adds to the first token", first * 1000, "ms")
        for count, total, first in asyncio.run(
            self._streams(server.url, self.target.model.name, self.effort)
        ):
            yield from _stream_rows(name, count, total, first, peers.get(count))
        known, unread = asyncio.run(self._turns(server))
        yield Row(
            name, f"first token of turn {TURNS}", known * 1000, "ms", known / unread, "nothing read before"
        )
        yield Row(name, "memory, loaded", server.memory() / MEGABYTE, "MB")

    def _generate(self) -> dict[str, float]:
        """What ``model.generate`` achieves in a bare process."""
        command = [sys.executable, "-m", "inference.engine.baseline"]
        process = subprocess.Popen(  # noqa: S603
            [*command, self.target.model.path, STORY, str(self.effort.tokens)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=settings.BASE_DIR,
            env=os.environ | self._environment(),
        )
        pin(process.pid, servers=True, threads=self.threads)
        output, errors = process.communicate()
        if process.returncode:
            raise RuntimeError(f"The baseline failed: {errors.strip().splitlines()[-1]}")
        result: dict[str, float] = json.loads(output)
        return result

    def _environment(self) -> dict[str, str]:
        return {"OMP_NUM_THREADS": str(self.threads), "HF_HUB_OFFLINE": "1", "OLLAMA_NUM_PARALLEL": "16"}

    async def _cold(self, server: Running) -> float:
        async with asking(server.url, self.target.model.name, OLLAMA, self.effort) as asker:
            asked = time.perf_counter()
            answer = await asker.ask([{"role": "user", "content": "Hello"}], tokens=2)
            return asked - server.started + answer.first

    async def _alone(self, server: Running) -> tuple[Answer, Answer]:
        """One stream over HTTP, and one straight from the engine."""
        async with asking(server.url, self.target.model.name, OLLAMA, self.effort) as asker:
            await asker.ask_story()
            return await asker.alone(), await self._at_the_engine(server)

    async def _added_to_the_first(self, server: Running) -> float:
        """Seconds by which the web delays the first token: of short questions, and many, since reading a
        long prompt varies by more."""
        over_http, at_the_engine = [], []
        client = self._engine(server)
        async with asking(server.url, self.target.model.name, OLLAMA, self.effort) as asker:
            for _ in range(SHORT_QUESTIONS):
                over_http.append((await asker.ask([{"role": "user", "content": _hello()}], tokens=1)).first)
                at_the_engine.append((await self._over_socket(client, _hello(), tokens=1)).first)
        return median(over_http) - median(at_the_engine)

    async def _streams(self, url: str, model: str, effort: Effort) -> list[tuple[int, float, float]]:
        async with asking(url, model, OPENAI, effort) as asker:
            await asker.ask_story(tokens=8)
            return [(count, *(await asker.together(count))) for count in STREAMS]

    async def _turns(self, server: Running) -> tuple[float, float]:
        # About 200 tokens a turn, fewer where the context is short.
        length = min(len(STORY), self.target.record.context_length // TURNS * 2)
        async with asking(server.url, self.target.model.name, OLLAMA, self.effort) as asker:
            return await asker.turns(TURNS, STORY[:length])

    @staticmethod
    def _engine(server: Running) -> EngineClient:
        assert server.home is not None
        return EngineClient(str(server.home / "run" / "engine.sock"))

    async def _at_the_engine(self, server: Running) -> Answer:
        client, tokens = self._engine(server), self.effort.tokens
        answers = [
            await self._over_socket(client, f"{time.perf_counter_ns()} {STORY}", tokens)
            for _ in range(self.effort.runs)
        ]
        return sorted(answers, key=lambda answer: answer.speed)[len(answers) // 2]

    async def _over_socket(self, client: EngineClient, text: str, tokens: int) -> Answer:
        request = Generate(
            model=self.target.model,
            messages=(Message(role="user", content=text),),
            options=Options(temperature=0, num_predict=tokens, ignore_eos=True),
        )
        started, moments, tokens = time.perf_counter(), [], 0
        async for event in client.stream(request):
            if isinstance(event, Text):
                moments.append(time.perf_counter())
            elif isinstance(event, Done):
                tokens = event.usage.completion
        moments = moments or [time.perf_counter()]
        return Answer(moments[0] - started, moments[-1] - moments[0], tokens)


def _hello() -> str:
    return f"{time.perf_counter_ns()} Hello"


def _stream_rows(
    who: str, count: int, total: float, first: float, best: float | None = None
) -> Iterator[Row]:
    streams = f"{count} stream{'s' if count > 1 else ''}, prompts included"
    ratio = total / best if best else None
    yield Row(who, streams, total, "tok/s", ratio, "the best peer" if best else "")
    yield Row(who, f"first token of {count}", first * 1000, "ms")


def as_json(rows: list[Row]) -> str:
    """The rows as JSON."""
    return json.dumps([asdict(row) for row in rows], indent=2)
