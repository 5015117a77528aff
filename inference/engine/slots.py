"""The slots of a model: which row is in each, and the text whose keys and values each holds.

What a row has read and written stays in its slot until the slot is needed, so that a request that begins
with the same tokens, the next turn of a conversation, need not read them again. What another slot holds of
them is copied, so that several samples of one prompt read it once. Nothing is shared between owners. Knows
which tokens a slot holds, and nothing of when it is read or written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from inference.engine.forward import Forward
from inference.engine.row import Row


@dataclass(eq=False)
class Slot:
    """A place in the batch: the tokens whose keys and values it holds, whose they were, who is in it."""

    index: int
    tokens: list[int] = field(default_factory=list)
    owner: str = ""
    row: Row | None = None
    used: int = 0

    def clear(self) -> None:
        """Let the row go; what the slot holds is no longer sure."""
        self.row, self.tokens = None, []


class Slots:
    """All slots of ``forward``, in its order."""

    def __init__(self, forward: Forward[Any]) -> None:
        self._forward = forward
        self._slots = [Slot(index) for index in range(forward.slots)]
        self._taken = 0

    def __iter__(self) -> Iterator[Slot]:
        return iter(self._slots)

    def take(self, row: Row) -> Slot | None:
        """Give ``row`` the free slot that holds most of its prompt; ``None`` if there is no free one."""
        free = [slot for slot in self._slots if slot.row is None]
        if not free:
            return None
        # Of equals the one that was used least recently: its tokens are missed the least.
        slot = max(free, key=lambda slot: (self._reusable(slot, row), -slot.used))
        self._taken += 1
        slot.row, slot.used = row, self._taken
        return slot

    def reuse(self, slot: Slot, row: Row) -> int:
        """Make ``slot`` hold as much of the row's prompt as any does, and nothing else: how many tokens."""
        held = self._reusable(slot, row)
        if self._forward.rewinds:
            source = max(self._slots, key=lambda other: self._reusable(other, row))
            most = self._reusable(source, row)
            if most > held:
                self._forward.copy(source.index, slot.index, most)
                held, slot.tokens = most, source.tokens[:most]
        del slot.tokens[held:]
        slot.owner = row.owner
        return held

    def rewind(self, slot: Slot, row: Row) -> None:
        """Let go of what ``row`` forgot; all of it where the model cannot go back."""
        if row.read < len(slot.tokens):
            row.read = row.read if self._forward.rewinds else 0
            del slot.tokens[row.read :]

    def _reusable(self, slot: Slot, row: Row) -> int:
        """How many tokens of the row's prompt the slot holds; the last one must be read in any case, and
        all where each is to be scored."""
        if slot.owner != row.owner or row.scores_prompt:
            return 0
        most = min(len(slot.tokens), len(row.prompt) - 1)
        common = _common(slot.tokens, row.media.keys if row.media else row.prompt, most)
        common = row.media.cut_before(common) if row.media else common
        return common if self._forward.rewinds or common == len(slot.tokens) else 0


def _common(held: Sequence[int], wanted: Sequence[int], most: int) -> int:
    """How many of the first ``most`` tokens are the same."""
    if held[:most] == wanted[:most]:
        return most
    pairs = zip(held, wanted, strict=False)
    return next(index for index, (one, other) in enumerate(pairs) if one != other)
