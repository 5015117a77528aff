"""Recorded steps against eager ones. On a CPU nothing can be recorded: what is, runs again when replayed."""

from __future__ import annotations

import contextlib
import inspect
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from inference.engine import graphs
from inference.engine.graphs import CudaRecorder, StepGraphs
from inference.engine.lean_forward import LeanForward
from inference.engine.sampler import BatchSampler
from inference.engine.scheduler import Scheduler
from inference.engine.video_memory import CAPTURING
from tests.engine.test_families import FAMILIES, tiny
from tests.engine.test_independence import rows_of

SLOTS, CONTEXT = 6, 200
LEAN = ("llama", "qwen2", "qwen3", "mistral")


class Rerun:
    """A replay computes the step again, into the memory of the first result, as a graph's would."""

    def __init__(self) -> None:
        self.recorded = self.replayed = 0

    def record(self, step: Callable[[], Tensor]) -> Callable[[], Tensor]:
        self.recorded += 1
        result = step()

        def replay() -> Tensor:
            self.replayed += 1
            result.copy_(step())
            return result

        return replay


class Frozen(Rerun):
    """A recording that does not see new inputs."""

    def record(self, step: Callable[[], Tensor]) -> Callable[[], Tensor]:
        result = step()
        return lambda: result


class Breaking(Rerun):
    """Recordings that break when they have been replayed twice."""

    def record(self, step: Callable[[], Tensor]) -> Callable[[], Tensor]:
        rerun = super().record(step)

        def replay() -> Tensor:
            if self.replayed == 2:
                raise RuntimeError("an illegal memory access was encountered")
            return rerun()

        return replay


class Refusing(Rerun):
    def record(self, step: Callable[[], Tensor]) -> Callable[[], Tensor]:
        self.recorded += 1
        raise RuntimeError("operation not permitted when stream is capturing")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "FEWEST_COLUMNS", 64)
    monkeypatch.setattr(graphs, "PATIENCE_IDLE", 1)
    monkeypatch.setattr(graphs, "PATIENCE_BUSY", 3)


def forward_of(family: str, recorder: Any = None) -> LeanForward:
    forward = LeanForward(tiny(family, FAMILIES[family]), recorder=recorder)
    forward.allocate(SLOTS, CONTEXT)
    return forward


PAIRS: dict[str, tuple[LeanForward, LeanForward, Rerun]] = {}


def pair(family: str) -> tuple[LeanForward, LeanForward, Rerun]:
    """An eager pass and one with recordings, made once: an example of Hypothesis has the slots as another
    left them."""
    if family not in PAIRS:
        recorder = Rerun()
        PAIRS[family] = forward_of(family), forward_of(family, recorder), recorder
    return PAIRS[family]


@pytest.mark.parametrize("family", LEAN)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_recorded_steps_say_what_eager_ones_say(family: str, data: st.DataObject) -> None:
    """Rows anywhere, of any length, that come to an end at any time, and recordings made in between."""
    eager, recorded, _ = pair(family)
    lengths = data.draw(st.dictionaries(st.integers(0, SLOTS - 1), st.integers(2, 150), min_size=1))
    held = {
        slot: [(slot * 31 + place * 7) % 128 for place in range(lengths[slot])] for slot in sorted(lengths)
    }
    for slot, tokens in held.items():
        for forward in (eager, recorded):
            forward.read(slot, 0, tokens[:-1])
    for _ in range(data.draw(st.integers(3, 8))):
        slots, last = list(held), [tokens[-1] for tokens in held.values()]
        positions = [len(tokens) - 1 for tokens in held.values()]
        expected, logits = (each.decode(slots, positions, last) for each in (eager, recorded))
        torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
        for tokens, token in zip(held.values(), expected.argmax(dim=-1).tolist(), strict=True):
            tokens.append(token)
        recorded.prepare(idle=data.draw(st.booleans()))
        if len(held) > 1 and data.draw(st.integers(0, 3)) == 0:
            del held[data.draw(st.sampled_from(slots))]


def answers(forward: LeanForward) -> list[list[int]]:
    """Sixteen requests of all kinds through the scheduler, which prepares between steps."""
    scheduler: Scheduler[Tensor] = Scheduler(forward, BatchSampler())
    rows = [row for number in range(16) for row in rows_of(number)]
    scheduler.waiting.extend(rows)
    while scheduler.busy:
        scheduler.step()
        scheduler.prepare()
    return [row.tokens for row in rows]


@pytest.mark.parametrize("family", ["llama", "qwen3", "mistral"])
def test_requests_get_the_same_text(family: str) -> None:
    recorder = Rerun()
    forward = forward_of(family, recorder)
    assert answers(forward) == answers(forward_of(family))
    assert recorder.replayed > 20
    assert forward.manner == "batched, lean pass, CUDA graphs"


@pytest.mark.parametrize(
    ("recorder", "why"),
    [(Frozen(), "other logits"), (Refusing(), "could not be"), (Breaking(), "replay failed")],
)
def test_what_cannot_be_recorded_runs_eagerly(
    recorder: Rerun, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """And is said once, and tried no more."""
    forward = forward_of("llama", recorder)
    with caplog.at_level(logging.WARNING):
        assert answers(forward) == answers(forward_of("llama"))
    assert forward.manner == "batched, lean pass, without CUDA graphs"
    assert [why in record.message for record in caplog.records if "CUDA graphs" in record.message] == [True]
    assert recorder.recorded <= 3


class Counting:
    """A step of no model: it tells which block it was recorded for."""

    def __init__(self, slots: int = 16, context: int = 8192) -> None:
        self.recorder = Rerun()
        self.graphs = StepGraphs(
            self.run, self.eager, self.recorder, slots=slots, context=context, device=torch.device("cpu")
        )
        self.blocks: list[tuple[int, int, int]] = []
        self.eagerly = 0

    def run(self, span: slice, positions: Tensor, tokens: Tensor, columns: int) -> Tensor:
        self.blocks.append((span.start, span.stop, columns))
        return torch.cat((tokens, positions), dim=1).float()

    def eager(self, slots: Any, positions: Any, tokens: Any) -> Tensor:
        self.eagerly += 1
        return torch.tensor(
            [[token, position] for token, position in zip(tokens, positions, strict=True)]
        ).float()

    def step(self, slots: list[int], position: int, times: int = 1) -> None:
        for _ in range(times):
            tokens = [slot + 100 for slot in slots]
            logits = self.graphs.decode(slots, [position + slot for slot in slots], tokens)
            assert logits.tolist() == [[slot + 100.0, position + slot] for slot in slots]


@pytest.mark.parametrize(
    ("slots", "position", "block"),
    [
        ([5], 0, (5, 6, 64)),
        ([4, 5], 60, (4, 6, 128)),
        ([5, 6], 62, (4, 8, 128)),
        ([7, 8], 100, (0, 13, 128)),
        ([12], 8100, (12, 13, 8150)),
        ([8, 12], 499, (8, 13, 512)),
        ([8, 12], 500, (8, 13, 1024)),
    ],
)
def test_a_recording_is_for_a_block_and_a_number_of_columns(
    slots: list[int], position: int, block: tuple[int, int, int]
) -> None:
    """The slots are 13, so that the last block is shorter; the context is the most columns."""
    counting = Counting(slots=13, context=8150)
    counting.step(slots, position)
    counting.graphs.prepare(idle=True)
    assert counting.blocks == [block]
    counting.step(slots, position, times=3)
    assert counting.eagerly == 2, "once before there was a recording, and once beside it"


def test_a_recording_waits_for_a_quiet_moment_or_long_use() -> None:
    counting = Counting()
    counting.step([0], 5, times=2)
    assert not counting.graphs.prepare(idle=False)
    counting.step([0], 5)
    counting.step([1], 5, times=2)
    assert counting.graphs.prepare(idle=False)
    counting.step([1], 5)
    assert not counting.graphs.prepare(idle=False), "right after another"
    assert counting.graphs.prepare(idle=True)
    assert not counting.graphs.prepare(idle=True)


def test_what_was_used_least_recently_goes() -> None:
    counting = Counting(context=2**22)

    def record(position: int) -> None:
        counting.step([0], position)
        counting.graphs.prepare(idle=True)
        counting.step([0], position)

    for power in range(6, 6 + graphs.MOST_RECORDINGS):
        record(2**power - 1)
    record(2 ** (6 + graphs.MOST_RECORDINGS) - 1)
    eagerly = counting.eagerly
    counting.step([0], 2**7 - 1)
    assert counting.eagerly == eagerly
    counting.step([0], 2**6 - 1)
    assert counting.eagerly == eagerly + 1


def test_logits_outlive_the_next_replay() -> None:
    counting = Counting()
    counting.step([0, 1], 5)
    counting.graphs.prepare(idle=True)
    counting.step([0, 1], 5)
    first = counting.graphs.decode([0, 1], [5, 6], [1, 2])
    counting.graphs.decode([0, 1], [6, 7], [3, 4])
    assert first.tolist() == [[1, 5], [2, 6]]


class Streams:
    """What ``CudaRecorder`` asks of torch, noting in which stream and when; signatures are torch's own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, breaks: bool = False) -> None:
        self.current, self.log, self.breaks = "default", [], breaks
        self.signature = inspect.signature(torch.cuda.graph)
        monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: "pool")
        monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream(self, "side"))
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream(self, self.current))
        monkeypatch.setattr(torch.cuda, "stream", self.within)
        monkeypatch.setattr(
            torch.cuda, "CUDAGraph", lambda: SimpleNamespace(replay=lambda: self.note("replay"))
        )
        monkeypatch.setattr(torch.cuda, "graph", self.capture)

    def note(self, what: str) -> None:
        self.log.append(f"{what} in {self.current}")

    @contextlib.contextmanager
    def within(self, stream: Stream) -> Iterator[None]:
        before, self.current = self.current, stream.name
        try:
            yield
        finally:
            self.current = before

    @contextlib.contextmanager
    def capture(self, *arguments: Any, **named: Any) -> Iterator[None]:
        asked = self.signature.bind(*arguments, **named).arguments
        assert (asked["pool"], asked["capture_error_mode"]) == ("pool", "thread_local")
        # Where ending a capture fails, torch leaves its stream the current one.
        self.current = asked["stream"].name
        self.note("capture")
        yield
        if self.breaks:
            raise RuntimeError("capture was invalidated")


@dataclass
class Stream:
    streams: Streams
    name: str

    def wait_stream(self, other: Stream) -> None:
        self.streams.note(f"{self.name} waits for {other.name}")


def test_cuda_is_asked_in_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = Streams(monkeypatch)
    result = torch.zeros(1)

    def step() -> Tensor:
        streams.note("step")
        return result

    replay = CudaRecorder(torch.device("cuda")).record(step)
    assert replay() is result
    assert streams.log == [
        "side waits for default in side",
        *["step in side"] * graphs.WARM_UPS,
        "capture in side",
        "step in side",
        "default waits for side in default",
        "replay in default",
    ]


def test_a_capture_that_breaks_leaves_the_stream_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = Streams(monkeypatch, breaks=True)
    with pytest.raises(RuntimeError, match="invalidated"):
        CudaRecorder(torch.device("cuda")).record(lambda: torch.zeros(1))
    assert streams.current == "default"
    assert CAPTURING.acquire(blocking=False)
    CAPTURING.release()
