"""The scheduler: continuous batching, one step at a time.

A fixed number of slots hold the keys and values of as many rows. Each step lets rows in, decodes one
token for every row that is writing in one forward pass, samples them all together, reads a chunk of one
waiting prompt, and hands their events out. A row leaves the step after it ended, was cancelled or failed,
and one row's failure ends no other.

Runs in one thread. Knows nothing of torch: forward passes and sampling are two objects it is given.
"""

from __future__ import annotations

import contextlib
import logging
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Generic

from inference.engine.forward import Forward, Logits, Sampler
from inference.engine.logprobs import Score
from inference.engine.row import Row, Stage
from inference.engine.slots import Slot, Slots
from inference.errors import InferenceError, OutOfMemory
from inference.protocol import Event, Failed
from inference.request_id import identified, shared_id

logger = logging.getLogger(__name__)

# Tokens of a prompt in one forward pass: long enough to keep the processor busy, short enough not
# to stall the rows that are writing, and to leave soon after a cancel.
CHUNK = 256

# Where memory runs out, a prompt is read in smaller pieces, down to this.
SMALLEST_CHUNK = 16

NOT_NUMBERS = "The model's numbers overflowed. Load it in another precision, bfloat16 or float32."


class Scheduler(Generic[Logits]):
    """Takes rows through ``forward`` and ``sampler``, many at once."""

    def __init__(self, forward: Forward[Logits], sampler: Sampler[Logits]) -> None:
        self._forward = forward
        self._sampler = sampler
        self._slots = Slots(forward)
        self.waiting: deque[Row] = deque()
        self.steps = 0

    @property
    def active(self) -> int:
        """Rows that are in a slot."""
        return sum(slot.row is not None for slot in self._slots)

    @property
    def busy(self) -> bool:
        """Whether another step has anything to do."""
        return bool(self.waiting) or self.active > 0

    def step(self) -> None:
        """Let rows in, read a chunk, decode a token for everyone who writes."""
        self._release()
        self._admit()
        self._decode([slot for slot in self._slots if slot.row and slot.row.decodes])
        self._read()
        self._release()
        self.steps += 1

    def prepare(self) -> bool:
        """Let the model make something ready, between steps. Whether there was anything."""
        return self._forward.prepare(idle=not self.busy)

    def fail_all(self, error: InferenceError) -> None:
        """End every row with ``error``; nothing in the slots counts as read any more."""
        for row in [*self.waiting, *(slot.row for slot in self._slots if slot.row)]:
            self._fail(row, error)
        self.waiting.clear()
        for slot in self._slots:
            slot.clear()

    def _release(self) -> None:
        """Let go of rows that have ended or were cancelled, wherever they are."""
        for row in [row for row in self.waiting if row.cancelled]:
            self.waiting.remove(row)
        for slot in self._slots:
            if slot.row and (slot.row.cancelled or slot.row.stage is Stage.ENDED):
                slot.row.stage = Stage.ENDED
                slot.row = None

    def _admit(self) -> None:
        """First come, first served, each to the free slot that holds most of its prompt."""
        while row := next((row for row in self.waiting if row.ready), None):
            slot = self._slots.take(row)
            if slot is None:
                return
            self.waiting.remove(row)
            with self._alone(slot):
                row.begin(self._slots.reuse(slot, row))

    def _read(self) -> None:
        """A chunk of the prompt that came first; with its last, the answer's next token."""
        reading = [slot for slot in self._slots if slot.row and slot.row.reads]
        if not reading:
            return
        slot = min(reading, key=lambda slot: slot.used)
        row = slot.row
        assert row is not None
        with self._alone(slot):
            tokens, logits = self._read_chunk(slot.index, row)
            slot.tokens.extend(row.held(len(tokens)))
            row.deliver(row.advance(len(tokens), self._scores_of_prompt(row, len(tokens), logits)))
            if row.stage is Stage.WRITING:
                self._sample([slot], logits[-1:])

    def _read_chunk(self, index: int, row: Row) -> tuple[list[int], Logits]:
        """Read a chunk, or as much of one as there is memory for: its tokens, and their logits."""
        tokens = row.chunk(CHUNK)
        while True:
            try:
                return tokens, self._forward.read(
                    index, row.read, tokens, every=row.scores_prompt, media=row.media
                )
            except OutOfMemory:
                fewer = row.chunk(len(tokens) // 2)
                if len(tokens) // 2 < SMALLEST_CHUNK or len(fewer) == len(tokens):
                    raise
                tokens = fewer

    def _scores_of_prompt(self, row: Row, count: int, logits: Logits) -> list[Score | None]:
        """Those of the tokens that follow the next ``count`` ones, if they are wanted."""
        if not (row.scores_prompt and row.report):
            return []
        following = row.seen[row.read + 1 : row.read + 1 + count]
        return self._sampler.score(logits[: len(following)], following, [row.report.count] * len(following))

    def _decode(self, slots: list[Slot]) -> None:
        """One token for each of ``slots``; if that fails, for each alone, so that only it fails."""
        if not slots:
            return
        rows = [slot.row for slot in slots if slot.row]
        tokens = [row.seen[-1] for row in rows]
        try:
            with identified(shared_id(row.request for row in rows)):
                logits = self._forward.decode(
                    [slot.index for slot in slots], [row.read for row in rows], tokens
                )
        except Exception as error:  # noqa: BLE001 - raised again for the one row that it is about
            # Its frames hold what the pass worked with, for which smaller ones need the room.
            traceback.clear_frames(error.__traceback__)
            self._halve(slots, error)
            return
        for slot, row, token in zip(slots, rows, tokens, strict=True):
            slot.tokens.append(token)
            with self._alone(slot):
                row.deliver(row.advance(1))
        if all(slot.row for slot in slots):
            self._sample(slots, logits)
        else:
            self._sample_each(slots, logits)

    def _halve(self, slots: list[Slot], error: Exception) -> None:
        """After a failed pass: smaller ones, down to the row that cannot be helped."""
        if len(slots) == 1:
            with self._alone(slots[0]):
                raise error
            return
        middle = len(slots) // 2
        self._decode(slots[:middle])
        self._decode(slots[middle:])

    def _sample(self, slots: list[Slot], logits: Logits) -> None:
        """The next token of each of ``slots``; if that fails, of each alone, so that only it fails."""
        rows = [slot.row for slot in slots if slot.row]
        try:
            tokens = self._sampler.draw(logits, rows)
            scores = self._scores(logits, rows, tokens)
        except Exception:
            if len(slots) > 1:
                self._sample_each(slots, logits)
                return
            with self._alone(slots[0]):
                raise
            return
        for slot, row, token, score in zip(slots, rows, tokens, scores, strict=True):
            with self._alone(slot):
                self._accept(slot, row, token, score)

    def _sample_each(self, slots: list[Slot], logits: Logits) -> None:
        """The next token of each of ``slots`` that has a row still, one by one."""
        for index, slot in enumerate(slots):
            if slot.row:
                self._sample([slot], logits[index : index + 1])

    def _scores(self, logits: Logits, rows: list[Row], tokens: list[int | None]) -> Sequence[Score | None]:
        """The scores of ``tokens``, for rows that report theirs."""
        counts = [row.report.count if row.report else None for row in rows]
        if all(count is None for count in counts):
            return [None] * len(rows)
        return self._sampler.score(logits, tokens, counts)

    def _accept(self, slot: Slot, row: Row, token: int | None, score: Score | None) -> None:
        if row.stage is not Stage.WRITING:
            return
        if token is None:
            raise InferenceError(NOT_NUMBERS)
        row.deliver(row.accept(token, score))
        self._slots.rewind(slot, row)

    @contextlib.contextmanager
    def _alone(self, slot: Slot) -> Iterator[None]:
        """Whatever fails in the block ends the row of ``slot``, and no other."""
        with identified(slot.row.request if slot.row else ""):
            try:
                yield
            except InferenceError as error:
                self._drop(slot, error)
            except Exception:
                logger.exception("A request failed in a way that nobody foresaw.")
                self._drop(slot, InferenceError())

    def _drop(self, slot: Slot, error: InferenceError) -> None:
        """End the row of ``slot`` with ``error``; what the slot holds is no longer sure."""
        if slot.row:
            self._fail(slot.row, error)
        slot.clear()

    @staticmethod
    def _fail(row: Row, error: InferenceError) -> None:
        with identified(row.request):
            logger.warning("An answer has failed after %d tokens: %s", row.generated, error.message)
        row.stage = Stage.ENDED
        events: list[Event] = [Failed.of(error)]
        row.deliver(events)
