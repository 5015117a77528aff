from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inference.client import EngineClient
from inference.errors import EngineDied, EngineDown, TimedOut
from inference.protocol import (
    Done,
    Event,
    Generate,
    Load,
    Message,
    ModelRef,
    Request,
    Text,
    frame,
    read_request,
)
from tests.fakes import FakeEngine

MODEL = ModelRef(name="a/b", path="/nowhere")


@pytest.mark.parametrize("ticks", range(12))
async def test_a_cancel_is_never_lost(tmp_path: Path, ticks: int) -> None:
    """Also where it comes in the very moment in which an event arrives."""
    release, left = asyncio.Event(), asyncio.Event()

    async def script(request: Request) -> AsyncIterator[Event]:
        yield Text(text="one")
        await release.wait()
        yield Text(text="two")
        await asyncio.Event().wait()

    async def read() -> None:
        async for event in EngineClient(engine.address).stream(Generate(model=MODEL, prompt="")):
            left.set()
            assert event in (Text(text="one"), Text(text="two"))

    async with FakeEngine(tmp_path / "e.sock", script) as engine:
        reader = asyncio.create_task(read())
        await left.wait()
        release.set()
        for _ in range(ticks):
            await asyncio.sleep(0)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            async with asyncio.timeout(30):
                await reader


async def test_silence_is_an_error(tmp_path: Path) -> None:
    async def script(request: Request) -> AsyncIterator[Event]:
        yield Text(text="one")
        await asyncio.Event().wait()

    async with FakeEngine(tmp_path / "e.sock", script) as engine:
        events = EngineClient(engine.address, silence=0.5).stream(Generate(model=MODEL, prompt=""))
        assert await anext(events) == Text(text="one")
        with pytest.raises(TimedOut, match="silent"):
            await anext(events)


async def test_an_engine_that_does_not_take_a_request_is_silent_too(tmp_path: Path) -> None:
    """One that was stopped: the system takes the beginning of a picture for it. It finds no whole request."""
    goes_on, found = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def stopped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            await goes_on.wait()
            found.set_result(len(await reader.read()))

    picture = Message(role="user", images=(bytes(8 * 2**20),))
    request = Generate(model=MODEL, messages=(picture,))
    async with asyncio.timeout(30), await asyncio.start_unix_server(stopped, tmp_path / "e.sock"):
        with pytest.raises(TimedOut, match="silent"):
            await anext(EngineClient(str(tmp_path / "e.sock"), silence=0.1).stream(request))
        goes_on.set()
        assert await found < len(frame(request))


async def test_an_engine_that_dies_is_an_error(tmp_path: Path) -> None:
    async def script(request: Request) -> AsyncIterator[Event]:
        yield Text(text="one")
        engine.die()
        yield Done(reason="stop")

    async with FakeEngine(tmp_path / "e.sock", script) as engine:
        events = EngineClient(engine.address).stream(Generate(model=MODEL, prompt=""))
        with pytest.raises(EngineDied):
            [event async for event in events]


async def test_an_engine_that_dies_as_it_takes_a_request_is_succeeded(tmp_path: Path) -> None:
    async def script(request: Request) -> AsyncIterator[Event]:
        if len(engine.requests) == 1:
            engine.die()
        yield Text(text="one")
        yield Done(reason="stop")

    async with FakeEngine(tmp_path / "e.sock", script) as engine:
        events = EngineClient(engine.address).stream(Generate(model=MODEL, prompt=""))
        assert [type(event) for event in [event async for event in events]] == [Text, Done]
        assert len(engine.requests) == 2


async def test_an_engine_that_dies_of_a_request_is_asked_twice_at_most(tmp_path: Path) -> None:
    async def script(request: Request) -> AsyncIterator[Event]:
        engine.die()
        yield Text(text="one")

    async with FakeEngine(tmp_path / "e.sock", script) as engine:
        events = EngineClient(engine.address).stream(Generate(model=MODEL, prompt=""))
        with pytest.raises(EngineDied):
            await anext(events)
        assert len(engine.requests) == 2


async def test_nobody_listening_is_an_error_after_the_patience(tmp_path: Path) -> None:
    events = EngineClient(str(tmp_path / "e.sock"), patience=0.1).stream(Load(model=MODEL))
    with pytest.raises(EngineDown):
        await anext(events)


async def test_a_listener_whose_queue_is_full_is_waited_for(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "e.sock"))
        listener.listen(1)
        streams = [EngineClient(str(tmp_path / "e.sock")).stream(Load(model=MODEL)) for _ in range(20)]
        answers = [asyncio.create_task(anext(stream)) for stream in streams]
        await asyncio.sleep(0.2)
        server = await asyncio.start_unix_server(loads, sock=listener)
        async with server, asyncio.timeout(30):
            assert await asyncio.gather(*answers) == [Done(reason="load")] * 20
        for stream in streams:
            await stream.aclose()


async def loads(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(frame(Done(reason="load")))
    writer.close()
