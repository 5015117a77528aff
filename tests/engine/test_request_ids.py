"""What the engine logs for one request names it, in whichever thread; what concerns several names none."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from inference.engine.batch import Batch
from inference.engine.encoder_batch import EncoderBatch, Encoding, Job
from inference.engine.failures import in_our_words
from inference.engine.jobs import Jobs
from inference.engine.row import Row
from inference.engine.scheduler import Scheduler
from inference.engine.server import EngineServer
from inference.engine.threads import in_thread
from inference.errors import InferenceError
from inference.protocol import Done, Event, Load, ModelRef, Request, Text, Ticket, frame
from inference.request_id import RequestIds, for_nobody, identified, request_id, shared_id
from tests.engine.arithmetic import GREEDY, Arithmetic, Greedy, run, scheduler_of

Lines = list[tuple[str, str]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """The id and the text of each line of the engine."""
    told: Lines = []

    class Telling(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append((record.request_id, record.getMessage()))  # type: ignore[attr-defined]

    handler, engine = Telling(), logging.getLogger("inference.engine")
    handler.addFilter(RequestIds())
    engine.addHandler(handler)
    before, engine.level = engine.level, logging.DEBUG
    yield told
    engine.level = before
    engine.removeHandler(handler)


class Failing(Arithmetic):
    """Slot 1 fails as torch does when it decodes; reading 13 fails in a way that nobody foresaw."""

    def read(self, slot: int, start: int, tokens: Sequence[int], **more: Any) -> list[int]:
        if 13 in tokens:
            raise ZeroDivisionError
        return super().read(slot, start, tokens, **more)

    def decode(self, slots: Sequence[int], positions: Sequence[int], tokens: Sequence[int]) -> list[int]:
        with in_our_words():
            if 1 in slots:
                raise RuntimeError("device-side assert")
            return super().decode(slots, positions, tokens)


def row_of(id: str, *prompt: int) -> Row:
    """A row of the request ``id``."""
    with identified(id):
        return Row(prompt=[*prompt], options=GREEDY, limit=5, ends=frozenset(), decode=str, deliver=[].extend)


def run_rows(scheduler: Scheduler[list[int]], *rows: Row) -> None:
    scheduler.waiting.extend(rows)
    run(scheduler)


async def test_what_fails_in_the_batch_s_thread_names_its_request(lines: Lines) -> None:
    def make_rows(deliver: Callable[[list[Event]], None]) -> list[Row]:
        return [Row(prompt=[13], options=GREEDY, limit=5, ends=frozenset(), decode=str, deliver=deliver)]

    batch = Batch(scheduler_of(Failing(2)), places=2, max_queue=9)
    with identified("odd"), batch.admitted() as place, pytest.raises(InferenceError):
        async for _ in batch.run(place, make_rows):
            pass
    batch.close()
    assert lines == [
        ("odd", "A request failed in a way that nobody foresaw."),
        ("odd", f"An answer has failed after 0 tokens: {InferenceError().message}"),
    ]


def test_of_two_that_are_decoded_together_the_one_that_fails_is_named(lines: Lines) -> None:
    run_rows(scheduler_of(Failing(2)), row_of("left", 1), row_of("right", 2))
    (fell,) = (id for id, text in lines if text.startswith("An answer has failed"))
    assert [id for id, text in lines if text == "A forward pass failed."] == ["-", fell]
    assert len(lines) == 3


def test_samples_of_one_request_share_its_id() -> None:
    seen: list[str] = []

    class Asking(Arithmetic):
        def decode(self, *arguments: Any) -> list[int]:
            seen.append(request_id())
            return super().decode(*arguments)

    run_rows(scheduler_of(Asking(2)), row_of("twice", 1), row_of("twice", 2))
    assert set(seen) == {"twice"}


def test_what_fails_while_a_token_is_drawn_names_its_request(lines: Lines) -> None:
    class Broken(Greedy):
        def draw(self, logits: list[int], rows: Sequence[Row]) -> list[int | None]:
            raise ValueError

    run_rows(Scheduler(Arithmetic(1), Broken()), row_of("drawn", 1))
    assert [id for id, _ in lines] == ["drawn", "drawn"]


async def test_the_lines_of_an_encoder_name_the_request_whose_text_fails(lines: Lines) -> None:
    log = logging.getLogger("inference.engine.test")

    def encode(texts: Sequence[Encoding]) -> list[int]:
        log.info("%d texts", len(texts))
        if any(13 in text["input_ids"] for text in texts):
            raise InferenceError
        return [0] * len(texts)

    encoder = EncoderBatch(encode, max_queue=9, most=99)

    async def asked(id: str, token: int) -> None:
        with identified(id), contextlib.suppress(InferenceError):
            async with contextlib.aclosing(encoder.run(Job([{"input_ids": [token, 2]}]))) as events:
                async for _ in events:
                    pass

    await asyncio.gather(asked("good", 1), asked("bad", 13))
    await asked("later", 1)
    encoder.close()
    assert lines == [("-", "2 texts"), ("good", "1 texts"), ("bad", "1 texts"), ("later", "1 texts")]


async def test_a_job_and_a_thread_work_for_the_request_that_asks() -> None:
    jobs, threads = Jobs(max_queue=9), ThreadPoolExecutor(1)

    def job(tell: Callable[[Event], None]) -> Done:
        tell(Text(text=request_id()))
        return Done(reason="stop")

    for id in ("one", "two", ""):
        with identified(id):
            async with contextlib.aclosing(jobs.run(job)) as events:
                assert await anext(events) == Text(text=id)
            assert await in_thread(threads, request_id) == id
    jobs.close()
    threads.shutdown()


async def test_a_client_that_leaves_is_named(lines: Lines, tmp_path: Path) -> None:
    class Talker:
        async def submit(self, request: Request) -> Any:
            while True:
                yield Text(text="x" * 100_000)

    address = str(tmp_path / "e.sock")
    async with EngineServer(Talker(), address, 0.2):  # type: ignore[arg-type]
        _, writer = await asyncio.open_unix_connection(address)
        writer.write(frame(Ticket(id="slow")) + frame(Load(model=ModelRef(name="a/b", path="/x"))))
        async with asyncio.timeout(30):
            while not lines:
                await asyncio.sleep(0.01)
        writer.close()
    assert lines == [("slow", "A client went away.")]


def test_what_several_wait_for_is_nobodys() -> None:
    assert [shared_id(ids) for ids in (["a", "a"], ["a", "b"], [])] == ["a", "", ""]
    with identified("a"):
        assert for_nobody().run(request_id) == ""
        assert request_id() == "a"
