"""Decoding steps that are recorded once and replayed: CUDA graphs.

A step of a small model is hundreds of kernels, and to launch them from Python takes longer than to run
them. A recording launches all at once, but with fixed shapes at fixed addresses: so there is one for a
block of neighbouring slots and a number of columns, a power of two each. Rows of the block that have
nothing to say write where nobody looks. Until there is a recording the eager step runs; one is made
between steps, after the events went out, when nobody waits or when its shapes were wanted long
enough. Its first replay runs beside the eager step and has to give the same logits. Whatever goes
wrong ends recording, and the eager step goes on.

Source: "CUDA Graphs" in PyTorch's notes on CUDA semantics. All but ``CudaRecorder`` knows nothing of CUDA.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from inference.engine.failures import in_our_words
from inference.engine.video_memory import CAPTURING
from inference.errors import InferenceError

logger = logging.getLogger(__name__)

Replay = Callable[[], Tensor]
Run = Callable[[slice, Tensor, Tensor, int], Tensor]
Eager = Callable[[Sequence[int], Sequence[int], Sequence[int]], Tensor]

# Each recording holds its logits, and what a step works with once for all.
MOST_RECORDINGS = 16
# Columns of the smallest recording.
FEWEST_COLUMNS = 256
# Eager steps of a shape before it is recorded, where nobody waits and where somebody does: a recording
# takes about as long as four steps.
PATIENCE_IDLE, PATIENCE_BUSY = 4, 32
# How far logits of a replay may lie from the eager ones, relative to their spread. Kernels for other
# shapes round differently; stale inputs give distances of 1 and more.
TOLERANCE = 0.5
WARM_UPS = 2


class Recorder(Protocol):
    """Records what a function does on a device."""

    def record(self, step: Replay) -> Replay:
        """What does the same as ``step`` whenever it is called, its result always in the same memory;
        ``RuntimeError`` if that cannot be recorded."""


class CudaRecorder:
    """Records CUDA graphs on ``device``. They share one pool of memory: they never run side by side."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()
        self._stream = torch.cuda.Stream(device)

    def record(self, step: Replay) -> Replay:
        before, graph = torch.cuda.current_stream(self._device), torch.cuda.CUDAGraph()
        # Leaving the stream from here restores the one before even where ending the capture fails.
        with CAPTURING, torch.cuda.stream(self._stream):
            self._stream.wait_stream(before)
            for _ in range(WARM_UPS):
                step()
            # Other models' threads may allocate meanwhile.
            with torch.cuda.graph(
                graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
            ):
                result = step()
        before.wait_stream(self._stream)

        def replay() -> Tensor:
            graph.replay()
            return result

        return replay


def recorder_for(device: torch.device) -> Recorder | None:
    """What records on ``device``, if anything does."""
    return CudaRecorder(device) if device.type == "cuda" else None


class Shape(NamedTuple):
    """What a recording is for: ``rows`` slots from ``first`` on, and ``columns`` to look at."""

    first: int
    rows: int
    columns: int


@dataclass
class Recording:
    """``tried``: its logits were those of the eager step."""

    replay: Replay
    tried: bool = False


class StepGraphs:
    """Decodes by replaying recordings of ``run``, and by ``eager`` where there is none.

    ``run`` makes the logits of a span of slots from positions and tokens, each ``[rows, 1]`` on
    ``device``, and the number of columns; it must not look at their values on the host. A row at position
    ``context`` writes where nobody looks.
    """

    def __init__(
        self, run: Run, eager: Eager, recorder: Recorder, *, slots: int, context: int, device: torch.device
    ) -> None:
        self._run = run
        self._eager = eager
        self._recorder = recorder
        self._slots = slots
        self._context = context
        # For each slot its position and its token; and which rows of the block are wanted.
        self._inputs = torch.zeros(slots, 3, dtype=torch.long, device=device)
        self._recordings: dict[Shape, Recording] = {}
        self._wanted: Counter[Shape] = Counter()
        self._steps = self._last = 0
        self._failed = False

    @property
    def manner(self) -> str:
        """How steps run, for people."""
        return "without CUDA graphs" if self._failed else "CUDA graphs"

    @torch.inference_mode()
    def decode(self, slots: Sequence[int], positions: Sequence[int], tokens: Sequence[int]) -> Tensor:
        """Logits of one token for each of ``slots``, in rising order: ``[rows, vocabulary]``."""
        step, shape = (slots, positions, tokens), self._shape(slots, positions)
        self._steps += 1
        if self._failed:
            return self._eager(*step)
        recording = self._recordings.pop(shape, None)
        if recording is None:
            self._wanted[shape] += 1
            return self._eager(*step)
        self._recordings[shape] = recording  # the one used last is the last to go
        # Beside a recording that was not tried yet the eager step gives the answer.
        expected = None if recording.tried else self._eager(*step)
        try:
            logits = self._replayed(recording, shape, *step)
        except InferenceError as error:
            self._give_up(f"a replay failed ({error})")
            return self._eager(*step) if expected is None else expected
        if expected is None:
            return logits
        self._try(recording, expected, logits)
        return expected

    @torch.inference_mode()
    def prepare(self, *, idle: bool) -> bool:
        """Make a recording if one is due; ``idle``: nobody waits for it. Whether one was made."""
        shape = self._due(idle)
        if shape is None:
            return False
        del self._wanted[shape]
        self._last = self._steps
        # Recorded with rows that write where nobody looks.
        self._fill(shape, (), (), ())
        block = slice(shape.first, shape.first + shape.rows)
        positions, tokens = self._inputs[block, :1], self._inputs[block, 1:2]
        try:
            replay = self._recorder.record(lambda: self._run(block, positions, tokens, shape.columns))
        except (RuntimeError, InferenceError) as error:
            self._give_up(f"a step could not be recorded ({type(error).__name__}: {error})")
            return False
        if len(self._recordings) == MOST_RECORDINGS:
            del self._recordings[next(iter(self._recordings))]
        self._recordings[shape] = Recording(replay)
        return True

    def _due(self, idle: bool) -> Shape | None:
        """The shape to record now: the one that most steps had to do without."""
        if not self._wanted or (not idle and self._steps - self._last < PATIENCE_BUSY):
            return None
        ((shape, count),) = self._wanted.most_common(1)
        return shape if count >= (PATIENCE_IDLE if idle else PATIENCE_BUSY) else None

    def _shape(self, slots: Sequence[int], positions: Sequence[int]) -> Shape:
        """The smallest block of aligned slots, a power of two, that holds all of ``slots``; and columns."""
        first, last, count = slots[0], slots[-1], 1
        while first // count != last // count:
            count *= 2
        columns = FEWEST_COLUMNS
        while columns <= max(positions):
            columns *= 2
        start = first // count * count
        return Shape(start, min(count, self._slots - start), min(columns, self._context))

    def _fill(
        self, shape: Shape, slots: Sequence[int], positions: Sequence[int], tokens: Sequence[int]
    ) -> None:
        """Write the inputs of a step, all in one copy."""
        inputs = torch.zeros(shape.rows, 3, dtype=torch.long)
        inputs[:, 0] = self._context
        if slots:
            rows = torch.tensor(slots) - shape.first
            inputs[rows, 0], inputs[rows, 1] = torch.tensor(positions), torch.tensor(tokens)
            inputs[: len(rows), 2] = rows
        self._inputs[shape.first : shape.first + shape.rows] = inputs

    def _replayed(
        self,
        recording: Recording,
        shape: Shape,
        slots: Sequence[int],
        positions: Sequence[int],
        tokens: Sequence[int],
    ) -> Tensor:
        with in_our_words():
            self._fill(shape, slots, positions, tokens)
            logits = recording.replay()
            # A copy: the next replay writes to the same memory.
            return logits[self._inputs[shape.first : shape.first + len(slots), 2]]

    def _try(self, recording: Recording, expected: Tensor, logits: Tensor) -> None:
        """Trust ``recording`` if its first ``logits`` are those ``expected``; give up if they are not."""
        expected = expected.float()
        if not bool(expected.isfinite().all()):
            return
        spread = (expected - expected.mean(dim=1, keepdim=True)).norm(dim=1).clamp_min(1e-6)
        distance = float(((logits.float() - expected).norm(dim=1) / spread).max())
        recording.tried = distance <= TOLERANCE
        if not recording.tried:
            self._give_up(f"a replay gave other logits than the step itself (by {distance:.2f})")

    def _give_up(self, why: str) -> None:
        logger.warning("Steps run without CUDA graphs from now on: %s.", why)
        self._failed = True
        self._recordings.clear()
        self._wanted.clear()
