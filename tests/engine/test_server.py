"""The engine's socket, with the real core and a handler the test controls."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inference.client import EngineClient
from inference.engine.server import EngineServer
from inference.errors import EngineDied, EngineDown, InferenceError, InvalidRequest, TooLarge
from inference.protocol import (
    MAX_FRAME,
    Done,
    Event,
    Failed,
    Generate,
    Load,
    Message,
    ModelRef,
    Options,
    Request,
    Text,
    Ticket,
    frame,
    read_event,
)
from inference.request_id import identified, request_id
from tests.kernels import engine_cache

MODEL = ModelRef(name="a/b", path="/nowhere")
# Characters: more than any system takes for somebody who does not.
LONG = 8 * 2**20


class ScriptedEngine:
    """A core that counts and waits as told."""

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()
        self.error: Exception | None = None

    async def submit(self, request: Request) -> AsyncIterator[Event]:
        try:
            yield Text(text="one")
            if self.error:
                raise self.error
            if isinstance(request, Generate):
                await asyncio.Event().wait()
            yield Done(reason="load")
        finally:
            self.cancelled.set()


@pytest.fixture
def address(tmp_path: Path) -> str:
    return str(tmp_path / "run" / "e.sock")


@contextlib.asynccontextmanager
async def serving(address: str) -> AsyncIterator[ScriptedEngine]:
    core = ScriptedEngine()
    async with EngineServer(core, address):  # type: ignore[arg-type]
        yield core


async def collect(address: str, request: Request) -> list[Event]:
    return [event async for event in EngineClient(address, patience=0.5, silence=30).stream(request)]


async def test_events_arrive_and_done_ends_the_stream(address: str) -> None:
    async with serving(address):
        assert await collect(address, Load(model=MODEL)) == [Text(text="one"), Done(reason="load")]


async def test_the_socket_is_its_owners_alone(address: str) -> None:
    async with serving(address):
        assert stat.S_IMODE(Path(address).stat().st_mode) == 0o600
        assert stat.S_IMODE(Path(address).parent.stat().st_mode) == 0o700


async def test_a_folder_that_all_share_stays_open(address: str) -> None:
    shared = Path(address).parent / "tmp"
    shared.mkdir(parents=True)
    shared.chmod(0o1777)
    async with serving(str(shared / "e.sock")):
        assert stat.S_IMODE((shared / "e.sock").stat().st_mode) == 0o600
        assert stat.S_IMODE(shared.stat().st_mode) == 0o1777


async def test_closing_the_connection_cancels(address: str) -> None:
    async with serving(address) as core:
        events = EngineClient(address).stream(Generate(model=MODEL))
        assert await anext(events) == Text(text="one")
        await events.aclose()
        await asyncio.wait_for(core.cancelled.wait(), 30)


async def test_the_id_of_a_request_comes_with_it(address: str) -> None:
    class Teller:
        async def submit(self, request: Request) -> AsyncIterator[Event]:
            yield Text(text=request_id())
            yield Done(reason="load")

    async with EngineServer(Teller(), address):  # type: ignore[arg-type]
        with identified("find-me"):
            told = await collect(address, Load(model=MODEL))
        assert told[0] == Text(text="find-me")
        assert (await collect(address, Load(model=MODEL)))[0] == Text(text="")


async def test_whoever_takes_nothing_of_its_answer_has_gone_away(address: str) -> None:
    class Talker:
        ended = asyncio.Event()

        async def submit(self, request: Request) -> AsyncIterator[Event]:
            try:
                while True:
                    yield Text(text="x" * LONG)
            finally:
                self.ended.set()

    async with EngineServer(Talker(), address, 0.2):  # type: ignore[arg-type]
        reader, writer = await asyncio.open_unix_connection(address)
        writer.write(frame(Generate(model=MODEL)))
        async with asyncio.timeout(30):
            await Talker.ended.wait()
            assert len(await reader.read()) < LONG, "what it did not take is not kept for it"
        writer.close()


async def test_an_error_arrives_as_itself(address: str) -> None:
    async with serving(address) as core:
        core.error = TooLarge("too much")
        with pytest.raises(TooLarge, match="too much"):
            await collect(address, Load(model=MODEL))


async def test_an_unforeseen_error_tells_nothing_of_the_inside(address: str) -> None:
    async with serving(address) as core:
        core.error = ValueError("/secret/path at 0x7f")
        with pytest.raises(InferenceError) as error:
            await collect(address, Load(model=MODEL))
        assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        (b"\x00\x00\x00\x03abc", InvalidRequest),
        ((MAX_FRAME + 1).to_bytes(4, "big"), TooLarge),
        (b"\x00\x00\x00\x02\x81\xa0", InvalidRequest),
        (frame(Ticket(id="a")) * 2, InvalidRequest),
    ],
)
async def test_malformed_requests_get_one_clear_failure(address: str, sent: bytes, kind: type) -> None:
    async with serving(address):
        reader, writer = await asyncio.open_unix_connection(address)
        writer.write(sent)
        event = await asyncio.wait_for(read_event(reader), 30)
        assert isinstance(event, Failed)
        assert isinstance(event.error(), kind)
        assert await reader.read() == b""
        writer.close()


async def test_a_server_that_ends_ends_its_streams(address: str) -> None:
    async with serving(address):
        events = EngineClient(address).stream(Generate(model=MODEL))
        await anext(events)
    with pytest.raises(EngineDied):
        await anext(events)


async def test_no_engine_is_said_after_the_patience(address: str) -> None:
    with pytest.raises(EngineDown):
        await collect(address, Load(model=MODEL))


async def test_patience_bridges_a_restart(address: str) -> None:
    waiting = asyncio.create_task(EngineClient(address, patience=30).status())
    await asyncio.sleep(0.1)
    assert not waiting.done()
    async with serving(address):
        with pytest.raises(EngineDied):
            await waiting


# The whole process, with a tiny model.


@contextlib.asynccontextmanager
async def process(address: str, models_root: Path) -> AsyncIterator[subprocess.Popen[bytes]]:
    config = {
        "address": address,
        "model_roots": [str(models_root)],
        "cache": str(engine_cache()),
        "precision": "float32",
    }
    child = subprocess.Popen(
        [sys.executable, "-m", "inference.engine"],
        env={**os.environ, "HUGWEB_ENGINE_CONFIG": json.dumps(config)},
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parents[2],
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        child.stdin.close()  # type: ignore[union-attr]


def long_answer(tiny_llama: Path) -> Generate:
    return Generate(
        model=ModelRef(name="tiny/llama", path=str(tiny_llama)),
        messages=(Message(role="user", content="Hello!"),),
        options=Options(temperature=0, num_predict=4000),
    )


async def exit_code(child: subprocess.Popen[bytes]) -> int:
    return await asyncio.wait_for(asyncio.to_thread(child.wait), 60)


async def first_text(events: AsyncIterator[Event]) -> Text:
    async for event in events:
        if isinstance(event, Text):
            return event
    raise AssertionError("no text came")


@pytest.mark.parametrize("end", ["stdin", "SIGTERM", "SIGINT"])
async def test_the_process_ends_with_its_parent_or_a_signal(
    address: str, models_root: Path, tiny_llama: Path, end: str
) -> None:
    """In the middle of an answer, which ends as one of an engine that died."""
    async with process(address, models_root) as child:
        events = EngineClient(address, patience=60).stream(long_answer(tiny_llama))
        await first_text(events)
        if end == "stdin":
            child.stdin.close()  # type: ignore[union-attr]
        else:
            child.send_signal(getattr(signal, end))
        assert await exit_code(child) == 0
        with pytest.raises(EngineDied):
            await collect_rest(events)


async def test_kill_ends_the_stream_with_an_error(address: str, models_root: Path, tiny_llama: Path) -> None:
    async with process(address, models_root) as child:
        events = EngineClient(address, patience=60).stream(long_answer(tiny_llama))
        await first_text(events)
        child.kill()
        with pytest.raises(EngineDied):
            async with asyncio.timeout(30):
                await collect_rest(events)
        assert await exit_code(child) == -signal.SIGKILL


async def collect_rest(events: AsyncIterator[Event]) -> list[Event]:
    return [event async for event in events]


def test_a_wrong_configuration_ends_the_process_at_once() -> None:
    environment = {
        **os.environ,
        "HUGWEB_ENGINE_CONFIG": '{"address": "x", "model_roots": [], "cache": "", "max_models": 0}',
    }
    result = subprocess.run(
        [sys.executable, "-m", "inference.engine"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert result.returncode == 2
    assert "max_models" in result.stderr
