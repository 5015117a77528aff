from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from inference.engine.config import EngineConfig
from inference.engine.core import Engine
from inference.engine.handlers.base import ModelHandler
from inference.engine.residents import Residents
from inference.errors import Busy, LoadFailed, TimedOut
from inference.protocol import Done, Event, Generate, Load, Loading, ModelRef, Queued, Status, Text, Unload


class WordHandler(ModelHandler):
    """Says one word, when it is allowed to."""

    device, size, context_length, steps = "cpu", 100, 4096, 0

    def __init__(self, name: str) -> None:
        self.name = name
        self.go_on = asyncio.Event()
        self.closed = threading.Event()

    async def run(self, request: Generate) -> AsyncIterator[Event]:
        await self.go_on.wait()
        yield Text(text=self.name)
        yield Done(reason="stop")

    def close(self) -> None:
        self.closed.set()


class Bench:
    """An engine whose loads the test opens and counts."""

    def __init__(self, **settings: object) -> None:
        self.config = EngineConfig(address="", model_roots=(), cache="", **settings)  # type: ignore[arg-type]
        self.engine = Engine(Residents(self.load, self.config), self.config)
        self.handlers: dict[str, WordHandler] = {}
        self.loads: list[str] = []
        self.may_load = threading.Event()
        self.may_load.set()
        self.fail = False
        self.loop = asyncio.get_running_loop()

    def load(self, model: ModelRef, config: EngineConfig) -> ModelHandler:
        self.loads.append(model.name)
        self.may_load.wait(10)
        if self.fail:
            raise OSError("/secret/path is broken")
        handler = self.handlers[model.name] = WordHandler(model.name)
        return handler

    def names(self) -> list[str]:
        return [model.name for model in self.engine.status().models]

    async def say(self, name: str, keep_alive: float | None = None) -> list[Event]:
        request = Generate(model=ref(name), prompt="", keep_alive=keep_alive)
        return [event async for event in self.engine.submit(request)]

    async def loaded(self, name: str, keep_alive: float | None = None) -> WordHandler:
        request = Load(model=ref(name), keep_alive=keep_alive)
        events = [event async for event in self.engine.submit(request)]
        assert isinstance(events[-1], Done)
        return self.handlers[name]


def ref(name: str) -> ModelRef:
    return ModelRef(name=name, path=f"/models/{name}")


async def until(condition: object, seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.005)


async def test_waiters_share_one_load_and_see_it() -> None:
    bench = Bench()
    bench.may_load.clear()
    requests = [asyncio.create_task(bench.say("a")) for _ in range(5)]
    await until(lambda: bench.loads)
    assert bench.engine.status().models[0].state == "loading"
    bench.may_load.set()
    await until(lambda: "a" in bench.handlers)
    bench.handlers["a"].go_on.set()
    answers = await asyncio.gather(*requests)
    assert bench.loads == ["a"]
    assert all(isinstance(events[0], Loading) for events in answers)
    assert all([type(event) for event in events][-2:] == [Text, Done] for events in answers)


async def test_a_failed_load_fails_every_waiter_once_and_leaves_no_trace() -> None:
    bench = Bench()
    bench.fail = True
    bench.may_load.clear()
    requests = [asyncio.create_task(bench.say("a")) for _ in range(5)]
    await until(lambda: bench.loads)
    bench.may_load.set()
    answers = await asyncio.gather(*requests, return_exceptions=True)
    assert all(isinstance(answer, LoadFailed) for answer in answers)
    assert all("/secret" not in str(answer) for answer in answers)
    assert bench.loads == ["a"]
    assert bench.names() == []
    bench.fail = False
    await bench.loaded("a")
    assert bench.names() == ["a"]


async def test_the_least_recently_used_idle_model_makes_room() -> None:
    bench = Bench(max_models=2)
    first, second = await bench.loaded("a"), await bench.loaded("b")
    await bench.loaded("a")
    await bench.loaded("c")
    assert sorted(bench.names()) == ["a", "c"]
    assert second.closed.wait(5)
    assert not first.closed.is_set()


async def test_a_model_in_use_stays_and_others_wait() -> None:
    bench = Bench(max_models=1)
    busy = await bench.loaded("a")
    answer = asyncio.create_task(bench.say("a"))
    await until(lambda: bench.engine.status().models[0].active)
    other = bench.engine.submit(Load(model=ref("b")))
    assert isinstance(await anext(other), Queued)
    assert bench.names() == ["a"]
    busy.go_on.set()
    await answer
    assert isinstance([event async for event in other][-1], Done)
    assert bench.names() == ["b"]


async def test_keep_alive_starts_when_the_last_request_ends() -> None:
    bench = Bench()
    handler = await bench.loaded("a", keep_alive=0.15)
    answer = asyncio.create_task(bench.say("a"))
    await asyncio.sleep(0.3)
    assert bench.names() == ["a"]
    handler.go_on.set()
    await answer
    assert bench.names() == ["a"]
    await until(lambda: not bench.names())
    assert handler.closed.wait(5)


async def test_keep_alive_zero_unloads_right_after_the_answer() -> None:
    bench = Bench()
    handler = await bench.loaded("a")
    handler.go_on.set()
    await bench.say("a", keep_alive=0.0)
    assert bench.names() == []


async def test_forever_never_expires_and_unload_ends_it() -> None:
    bench = Bench()
    await bench.loaded("a", keep_alive=-1.0)
    assert bench.engine.status().models[0].expires_in < 0
    assert isinstance([event async for event in bench.engine.submit(Unload(model=ref("a")))][-1], Done)
    assert bench.names() == []


async def test_unload_waits_for_a_running_answer() -> None:
    bench = Bench()
    handler = await bench.loaded("a")
    answer = asyncio.create_task(bench.say("a"))
    await until(lambda: bench.engine.status().models[0].active)
    [event async for event in bench.engine.submit(Unload(model=ref("a")))]
    assert bench.names() == ["a"]
    handler.go_on.set()
    assert isinstance((await answer)[-1], Done)
    assert bench.names() == []


async def test_a_load_that_takes_too_long_is_said_and_goes_on() -> None:
    bench = Bench(load_timeout=0.1)
    bench.may_load.clear()
    with pytest.raises(TimedOut, match="MODEL_LOAD_TIMEOUT_MS"):
        await bench.say("a")
    bench.may_load.set()
    await until(lambda: bench.engine.status().models[0].state == "ready")
    assert bench.loads == ["a"]


async def test_a_full_queue_refuses() -> None:
    """One whose load it is, two that wait, and no more; a loaded model is not held up by it."""
    bench = Bench(max_queue=2)
    loaded = await bench.loaded("b")
    loaded.go_on.set()
    bench.may_load.clear()
    waiting = [asyncio.create_task(bench.say("a")) for _ in range(3)]
    await until(lambda: "a" in bench.loads)
    with pytest.raises(Busy):
        await bench.say("a")
    assert isinstance((await bench.say("b"))[-1], Done)
    bench.may_load.set()
    await until(lambda: "a" in bench.handlers)
    bench.handlers["a"].go_on.set()
    await asyncio.gather(*waiting)
    await bench.say("a")


async def test_who_leaves_while_waiting_for_a_place_loads_nothing() -> None:
    bench = Bench(max_models=1)
    await bench.loaded("a")
    busy = asyncio.create_task(bench.say("a"))
    await until(lambda: bench.engine.status().models[0].active)
    leaver = asyncio.create_task(bench.say("b"))
    await asyncio.sleep(0.05)
    leaver.cancel()
    bench.handlers["a"].go_on.set()
    await busy
    await asyncio.gather(leaver, return_exceptions=True)
    assert bench.loads == ["a"]


async def test_status_answers_while_a_model_loads() -> None:
    bench = Bench()
    bench.may_load.clear()
    loading = asyncio.create_task(bench.say("a"))
    await until(lambda: bench.loads)
    async with asyncio.timeout(1):
        events = [event async for event in bench.engine.submit(Status())]
    assert isinstance(events[-1], Done)
    loading.cancel()
    bench.may_load.set()
