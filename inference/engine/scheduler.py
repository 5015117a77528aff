"""The scheduler: continuous batching, one step at a time.

A fixed number of slots hold the keys and values of as many rows. Each step lets rows in, reads a
chunk of one waiting prompt, decodes one token for every row that is writing in one forward pass,
samples them all together, and hands their events out. A row leaves the step after it ended, was
cancelled or failed; what it read stays in its slot until the slot is needed, so that a request
that begins with the same tokens, the next turn of a conversation, need not read them again.

Runs in one thread. Knows nothing of torch: forward passes and sampling are two objects it is given.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from inference.engine.row import Row, Stage
from inference.errors import InferenceError
from inference.protocol import Event, Failed

logger = logging.getLogger(__name__)

# Tokens of a prompt in one forward pass: long enough to keep the processor busy, short enough not
# to stall the rows that are writing, and to leave soon after a cancel.
CHUNK = 256

Logits = TypeVar("Logits")
Made = TypeVar("Made", covariant=True)
Read = TypeVar("Read", contravariant=True)


class Forward(Protocol[Made]):
    """The model's forward passes over slots of keys and values."""

    slots: int
    rewinds: bool
    """Whether a slot can go back to an earlier token and go on from there."""

    def read(self, slot: int, start: int, tokens: Sequence[int]) -> Made:
        """Read ``tokens`` at ``start`` of ``slot``; the logits after the last: ``[1, vocabulary]``."""

    def decode(self, slots: Sequence[int], positions: Sequence[int], tokens: Sequence[int]) -> Made:
        """One token for each of ``slots``, in rising order; the logits: ``[rows, vocabulary]``."""


class Sampler(Protocol[Read]):
    """Draws the next token of each row from its logits."""

    def draw(self, logits: Read, rows: Sequence[Row]) -> list[int]:
        """One token for each of ``rows``."""


@dataclass(eq=False)
class Slot:
    """A place in the batch: the tokens whose keys and values it holds, whose they were, who is in it."""

    index: int
    tokens: list[int] = field(default_factory=list)
    owner: str = ""
    row: Row | None = None
    used: int = 0


class Scheduler(Generic[Logits]):
    """Takes rows through ``forward`` and ``sampler``, many at once."""

    def __init__(self, forward: Forward[Logits], sampler: Sampler[Logits]) -> None:
        self._forward = forward
        self._sampler = sampler
        self._slots = [Slot(index) for index in range(forward.slots)]
        self.waiting: deque[Row] = deque()
        self.steps = 0
        self._admitted = 0

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
        self.steps += 1
        self._release()
        self._admit()
        self._decode([slot for slot in self._slots if slot.row and slot.row.stage is Stage.WRITING])
        self._read()
        self._release()

    def fail_all(self, error: InferenceError) -> None:
        """End every row with ``error``; nothing in the slots counts as read any more."""
        for row in [*self.waiting, *(slot.row for slot in self._slots if slot.row)]:
            self._fail(row, error)
        self.waiting.clear()
        for slot in self._slots:
            slot.row, slot.tokens = None, []

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
        while self.waiting and (free := [slot for slot in self._slots if slot.row is None]):
            row = self.waiting.popleft()
            # Of equals the one that was used least recently: its tokens are missed the least.
            slot = max(free, key=lambda slot: (self._reusable(slot, row), -slot.used))
            reused = self._reusable(slot, row)
            self._admitted += 1
            slot.row, slot.owner, slot.used = row, row.owner, self._admitted
            del slot.tokens[reused:]
            row.begin(reused)

    def _reusable(self, slot: Slot, row: Row) -> int:
        """How many tokens of the row's prompt the slot holds; the last one must be read in any case."""
        if slot.owner != row.owner:
            return 0
        most = min(len(slot.tokens), len(row.prompt) - 1)
        pairs = zip(slot.tokens[:most], row.prompt, strict=False)
        common = next((index for index, (held, wanted) in enumerate(pairs) if held != wanted), most)
        return common if self._forward.rewinds or common == len(slot.tokens) else 0

    def _read(self) -> None:
        """A chunk of the prompt that came first; with its last, the answer's first token."""
        reading = [slot for slot in self._slots if slot.row and slot.row.stage is Stage.READING]
        if not reading:
            return
        slot = min(reading, key=lambda slot: slot.used)
        row = slot.row
        assert row is not None
        tokens = row.unread(CHUNK)
        try:
            logits = self._forward.read(slot.index, row.read, tokens)
        except InferenceError as error:
            self._drop(slot, error)
            return
        slot.tokens.extend(tokens)
        row.deliver(row.advance(len(tokens)))
        if row.stage is Stage.WRITING:
            self._sample([slot], logits)

    def _decode(self, slots: list[Slot]) -> None:
        """One token for each of ``slots``; if that fails, for each alone, so that only it fails."""
        if not slots:
            return
        rows = [slot.row for slot in slots if slot.row]
        tokens = [row.answer[-1] for row in rows]
        try:
            logits = self._forward.decode(
                [slot.index for slot in slots], [row.position for row in rows], tokens
            )
        except InferenceError as error:
            self._halve(slots, error)
            return
        for slot, token in zip(slots, tokens, strict=True):
            slot.tokens.append(token)
        self._sample(slots, logits)

    def _halve(self, slots: list[Slot], error: InferenceError) -> None:
        """After a failed pass: smaller ones, down to the row that cannot be helped."""
        if len(slots) == 1:
            self._drop(slots[0], error)
            return
        middle = len(slots) // 2
        self._decode(slots[:middle])
        self._decode(slots[middle:])

    def _sample(self, slots: list[Slot], logits: Logits) -> None:
        rows = [slot.row for slot in slots if slot.row]
        for slot, row, token in zip(slots, rows, self._sampler.draw(logits, rows), strict=True):
            try:
                row.deliver(row.accept(token))
            except InferenceError as error:
                self._drop(slot, error)

    def _drop(self, slot: Slot, error: InferenceError) -> None:
        """End the row of ``slot`` with ``error``; what the slot holds is no longer sure."""
        if slot.row:
            self._fail(slot.row, error)
        slot.row, slot.tokens = None, []

    @staticmethod
    def _fail(row: Row, error: InferenceError) -> None:
        row.stage = Stage.ENDED
        events: list[Event] = [Failed.of(error)]
        row.deliver(events)
