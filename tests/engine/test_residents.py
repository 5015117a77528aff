from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from inference.engine.config import EngineConfig
from inference.engine.core import Engine
from inference.engine.handlers.base import ModelHandler
from inference.engine.memory import Need
from inference.engine.notebook import Notebook
from inference.engine.residents import Residents
from inference.errors import Busy, DoesNotFit, LoadFailed, TimedOut
from inference.footprint.anatomy import Anatomy
from inference.footprint.estimate import Estimate
from inference.protocol import (
    Done,
    Event,
    Generate,
    Load,
    Loaded,
    Loading,
    ModelRef,
    Queued,
    Status,
    Text,
    Unload,
)

SIZE = 100 * 2**20


class WordHandler(ModelHandler):
    """Says one word, when it is allowed to."""

    device, size, context_length, steps = "cpu", SIZE, 4096, 0

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


class Room:
    """A memory of ``total`` bytes, of which each loaded model takes what the bench says.

    It needs ``SIZE``, or what ``needs`` says. Those in ``offloadable`` need half of it when they are
    offloaded.
    """

    def __init__(self, bench: Bench, total: int) -> None:
        self.bench = bench
        self.total = total
        self.needs: dict[str, int] = {}
        self.noted: dict[str, int] = {}
        self.offloadable: set[str] = set()

    def need(self, model: ModelRef) -> Need:
        weights = self.needs.get(model.name, SIZE)
        return Need(model, "cpu", Anatomy(1, 1, 1), Estimate(weights, 0, 0, 0, 0))

    def free(self, need: Need) -> int:
        return self.total - self.used(need)

    def placed(self, need: Need, spare: int) -> Need | None:
        half = Estimate(need.bytes // 2, 0, 0, 0, 0)
        offloaded = [replace(need, estimate=half, placement="parts")] * (need.model.name in self.offloadable)
        return next((each for each in (need, *offloaded) if each.bytes <= self.free(need) + spare), None)

    def used(self, need: Need) -> int:
        return self.bench.taken * sum(not handler.closed.is_set() for handler in self.bench.handlers.values())

    def prepare(self, need: Need) -> None: ...
    def settle(self) -> None: ...

    def note(self, need: Need, memory: int) -> None:
        self.noted[need.model.name] = memory

    def refusal(self, need: Need, free: int) -> DoesNotFit:
        return DoesNotFit(f"needs {need.bytes}, free {free}")


class Bench:
    """An engine whose loads the test opens and counts."""

    def __init__(self, *, total: int = 10 * SIZE, notebook: str = "", **settings: object) -> None:
        self.config = EngineConfig(address="", model_roots=(), cache="", **settings)  # type: ignore[arg-type]
        self.room = Room(self, total)
        self.engine = Engine(Residents(self.load, self.config, self.room, Notebook(notebook)), self.config)
        self.handlers: dict[str, WordHandler] = {}
        self.loads: list[str] = []
        self.placements: list[str] = []
        self.may_load = threading.Event()
        self.may_load.set()
        self.fail = False
        self.taken, self.reserved = SIZE, 0
        self.loop = asyncio.get_running_loop()

    def load(self, model: ModelRef, config: EngineConfig) -> ModelHandler:
        self.loads.append(model.name)
        self.placements.append(config.placement)
        self.may_load.wait(30)
        if self.fail:
            raise OSError("/secret/path is broken")
        handler = self.handlers[model.name] = WordHandler(model.name)
        handler.reserved = self.reserved
        return handler

    def names(self) -> list[str]:
        return [model.name for model in self.engine.status().models]

    async def say(self, name: str, keep_alive: float | None = None) -> list[Event]:
        request = Generate(model=ref(name), prompt="", keep_alive=keep_alive)
        return [event async for event in self.engine.submit(request)]

    async def loaded(self, name: str, keep_alive: float | None = None, *, force: bool = False) -> WordHandler:
        request = Load(model=ref(name), keep_alive=keep_alive, force=force)
        events = [event async for event in self.engine.submit(request)]
        assert isinstance(events[-1], Done)
        return self.handlers[name]


def ref(name: str) -> ModelRef:
    return ModelRef(name=name, path=f"/models/{name}")


async def until(condition: object, seconds: float = 30.0) -> None:
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
    assert all([type(event) for event in events][-3:] == [Loaded, Text, Done] for events in answers)


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
    assert second.closed.wait(30)
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
    handler = await bench.loaded("a", keep_alive=0.5)
    answer = asyncio.create_task(bench.say("a"))
    await asyncio.sleep(0.8)
    assert bench.names() == ["a"]
    handler.go_on.set()
    await answer
    assert bench.names() == ["a"]
    await until(lambda: not bench.names())
    assert handler.closed.wait(30)


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
    async with asyncio.timeout(30):
        events = [event async for event in bench.engine.submit(Status())]
    assert isinstance(events[-1], Done)
    loading.cancel()
    bench.may_load.set()


async def in_use(bench: Bench, name: str) -> asyncio.Task[list[Event]]:
    """A request that keeps ``name`` in use until its handler may go on."""
    answer = asyncio.create_task(bench.say(name))
    await until(lambda: any(model.name == name and model.active for model in bench.engine.status().models))
    return answer


async def test_an_idle_model_goes_when_memory_is_short() -> None:
    bench = Bench(max_models=5, total=2 * SIZE)
    first, second = await bench.loaded("a"), await bench.loaded("b")
    await bench.loaded("a")
    await bench.loaded("c")
    assert sorted(bench.names()) == ["a", "c"]
    assert second.closed.is_set()
    assert not first.closed.is_set()


async def test_a_load_waits_for_memory_that_a_model_in_use_holds() -> None:
    bench = Bench(max_models=5, total=2 * SIZE)
    busy, idle = await bench.loaded("a"), await bench.loaded("b")
    bench.room.needs["c"] = 2 * SIZE
    answer = await in_use(bench, "a")
    other = bench.engine.submit(Load(model=ref("c")))
    events = [await anext(other)]
    while not isinstance(events[-1], Queued):
        events.append(await anext(other))
    assert not busy.closed.is_set()
    busy.go_on.set()
    await answer
    assert isinstance([event async for event in other][-1], Done)
    assert bench.names() == ["c"]
    assert busy.closed.is_set()
    assert idle.closed.is_set()


async def test_what_can_never_fit_is_refused_and_costs_nobody_a_place() -> None:
    bench = Bench(max_models=1, total=2 * SIZE)
    await bench.loaded("a")
    bench.room.needs["big"] = 3 * SIZE
    for _ in range(5):
        with pytest.raises(DoesNotFit, match=f"needs {3 * SIZE}, free {SIZE}"):
            await bench.loaded("big")
    assert bench.names() == ["a"]
    assert bench.loads == ["a"]


async def test_force_loads_all_the_same_after_idle_models_went() -> None:
    bench = Bench(max_models=5, total=2 * SIZE)
    await bench.loaded("a")
    bench.room.needs["big"] = 3 * SIZE
    await bench.loaded("big", force=True)
    assert bench.names() == ["big"]


async def test_only_what_does_not_fit_alone_is_offloaded_and_idle_models_go_for_it() -> None:
    bench = Bench(max_models=5, total=4 * SIZE)
    bench.room.offloadable |= {"large", "giant"}
    bench.room.needs |= {"large": 4 * SIZE, "giant": 6 * SIZE, "monster": 9 * SIZE}
    await bench.loaded("a")
    await bench.loaded("large")
    assert bench.names() == ["large"]
    await bench.loaded("giant")
    assert bench.placements == ["whole", "whole", "parts"]
    # Measured, a resting one would be nothing, and be noted as what it takes.
    assert "giant" not in bench.room.noted
    with pytest.raises(DoesNotFit):
        await bench.loaded("monster")


async def test_what_is_offloaded_goes_beside_idle_models_where_that_is_as_good() -> None:
    bench = Bench(max_models=5, total=4 * SIZE)
    bench.room.offloadable.add("giant")
    bench.room.needs["giant"] = 6 * SIZE
    await bench.loaded("a")
    await bench.loaded("giant")
    assert bench.names() == ["a", "giant"]


async def test_a_wait_for_a_place_is_bounded() -> None:
    bench = Bench(max_models=1, load_timeout=1.0)
    await bench.loaded("a")
    answer = await in_use(bench, "a")
    with pytest.raises(TimedOut, match="in use"):
        await bench.loaded("b")
    assert bench.names() == ["a"]
    bench.handlers["a"].go_on.set()
    await answer
    assert bench.loads == ["a"]


async def test_what_a_load_took_is_measured_and_told() -> None:
    bench = Bench()
    events = [event async for event in bench.engine.submit(Load(model=ref("a")))]
    assert events[-2:] == [Loaded(memory=SIZE), Done(reason="load", timings=events[-1].timings)]
    assert bench.room.noted == {"a": SIZE}
    again = [event async for event in bench.engine.submit(Load(model=ref("a")))]
    assert [type(event) for event in again] == [Done]


async def test_room_that_was_taken_because_it_was_free_is_no_need() -> None:
    """A GPU's slots are made at once, as many as fit: beside another model there are fewer."""
    bench = Bench()
    bench.reserved = SIZE // 4
    events = [event async for event in bench.engine.submit(Load(model=ref("a")))]
    assert Loaded(memory=SIZE - SIZE // 4) in events
    assert bench.room.noted == {"a": SIZE - SIZE // 4}
    (model,) = bench.engine.status().models
    assert model.size == SIZE


async def test_what_is_too_little_to_be_seen_is_not_measured() -> None:
    """A tiny model may lie in memory that the process had let go."""
    bench = Bench()
    bench.taken = 2**16
    events = [event async for event in bench.engine.submit(Load(model=ref("a")))]
    assert Loaded(memory=0) in events
    assert bench.room.noted == {}
    (model,) = bench.engine.status().models
    assert model.size == SIZE


async def test_nothing_is_measured_beside_a_model_in_use() -> None:
    bench = Bench()
    await bench.loaded("a")
    answer = await in_use(bench, "a")
    events = [event async for event in bench.engine.submit(Load(model=ref("b")))]
    assert Loaded(memory=0) in events
    assert bench.room.noted == {"a": SIZE}
    bench.handlers["a"].go_on.set()
    await answer


async def test_a_model_that_fails_again_and_again_is_left_alone_for_a_while() -> None:
    bench = Bench()
    bench.fail = True
    for _ in range(3):
        with pytest.raises(LoadFailed):
            await bench.loaded("a")
    with pytest.raises(LoadFailed, match=r"OSError.*3 times in a row.*next try is in \d+ s"):
        await bench.loaded("a")
    assert bench.loads == ["a"] * 3
    bench.fail = False
    await bench.loaded("b")
    await bench.loaded("a", force=True)
    assert sorted(bench.names()) == ["a", "b"]


async def test_a_stop_wins_over_the_keep_alive_of_a_running_request() -> None:
    bench = Bench()
    handler = await bench.loaded("a")
    answer = asyncio.create_task(bench.say("a", keep_alive=-1.0))
    await until(lambda: bench.engine.status().models[0].active)
    [event async for event in bench.engine.submit(Unload(model=ref("a")))]
    assert bench.engine.status().models[0].stopping
    handler.go_on.set()
    await answer
    assert bench.names() == []


async def test_what_was_loaded_is_loaded_again_after_a_restart(tmp_path: Path) -> None:
    notebook = str(tmp_path / "engine.json")
    before = Bench(notebook=notebook)
    await before.loaded("a", keep_alive=-1.0)
    await before.loaded("b")
    await before.loaded("c")
    await until(lambda: Notebook(notebook).notes.loaded and len(before.names()) == 2)
    await until(lambda: [kept.model.name for kept in Notebook(notebook).notes.loaded] == ["b", "c"])
    await before.loaded("a", keep_alive=-1.0)
    await before.engine.close()
    after = Bench(notebook=notebook)
    await after.engine.warm()
    assert after.names() == ["c", "a"]
    assert after.engine.status().models[1].expires_in < 0


async def test_a_model_that_is_gone_does_not_keep_the_others_cold(tmp_path: Path) -> None:
    notebook = str(tmp_path / "engine.json")
    before = Bench(notebook=notebook)
    await before.loaded("a")
    await before.loaded("b")
    await until(lambda: len(Notebook(notebook).notes.loaded) == 2)
    after = Bench(notebook=notebook, total=SIZE)
    after.room.needs["a"] = 2 * SIZE
    await after.engine.warm()
    assert after.names() == ["b"]


async def test_a_model_that_ends_the_engine_is_not_warmed_again(tmp_path: Path) -> None:
    notebook = str(tmp_path / "engine.json")
    before = Bench(notebook=notebook)
    await before.loaded("a")
    await before.engine.close()
    after = Bench(notebook=notebook)
    after.may_load.clear()
    warming = asyncio.create_task(after.engine.warm())
    await until(lambda: after.loads == ["a"])
    # The engine would be killed now.
    assert Notebook(notebook).notes.loaded == ()
    after.may_load.set()
    await warming
    await until(lambda: [kept.model.name for kept in Notebook(notebook).notes.loaded] == ["a"])
