"""Kernels that a forward pass was promised: it runs without them, and goes over when they are made.

What is to be laid out for them is so one thing a step, between steps, in the thread that makes them. Knows
nothing of how a forward pass does that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from inference.engine.capacity import trim_heap, use_own_pages
from inference.engine.kernels.making import KernelsInTheMaking


@dataclass(frozen=True)
class Promise:
    """Kernels that are being made, and whether a forward pass on them is right."""

    making: KernelsInTheMaking
    fits: Callable[[Any], bool]


# True after each thing done: what is being answered waits for one at a time.
Taking = Iterator[bool]


class Changeover:
    """The way of one forward pass onto the kernels it was promised."""

    def __init__(self) -> None:
        self._promise: Promise | None = None
        self._taking: Taking | None = None

    def expect(self, promise: Promise) -> None:
        """Go over once the kernels of ``promise`` are made, or cannot be."""
        self._promise = promise

    def go_on(self, take: Callable[[Promise], Taking]) -> bool:
        """The next thing, as ``take`` lays them out; False if nothing was left to do."""
        if self._promise and not self._promise.making.pending:
            self._taking, self._promise = take(self._promise), None
        return bool(self._taking) and self._go_over()

    def _go_over(self) -> bool:
        """Lay the next thing out anew, in memory taken and given back as in a load; False if all is done."""
        use_own_pages(loading=True)
        try:
            if self._taking and next(self._taking, False):
                return True
        finally:
            use_own_pages(loading=False)
        self._taking = None
        trim_heap()
        return False


def takes_kernels(model: Any) -> bool:
    """Whether the kernels can run ``model``."""
    return bool(model.device.type == "cpu" and model.dtype is torch.bfloat16)
