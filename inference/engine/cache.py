"""The keys and values of all slots, behind transformers' cache interface.

One tensor of keys and one of values per layer, ``[slots, heads, context + 1, head size]``, made
at the layer's first use in the shape it brings. A forward pass works on a span of neighbouring
slots: a view, so nothing is gathered or copied. The last column is where rows that only lie
inside the span, without a token of their own, may write.
"""

from __future__ import annotations

import mmap
from math import prod
from typing import Any

import torch
from torch import Tensor
from transformers import Cache


def zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Zeros; on a CPU their memory is only taken where something else is written.

    Zeros and not whatever lies there: what a mask hides is multiplied by 0, and that would not hide
    a NaN.
    """
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    # Pages of the system are zero already; torch would write zeros into them.
    pages = mmap.mmap(-1, max(1, prod(shape) * dtype.itemsize), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        # A huge page reaches over the beginnings of many slots: the first token would take them all.
        pages.madvise(mmap.MADV_NOHUGEPAGE)
    return torch.frombuffer(pages, dtype=dtype).view(shape)


class SlotCache(Cache):
    """Keys and values of ``slots`` rows of up to ``context`` tokens."""

    def __init__(self, slots: int, context: int) -> None:
        super().__init__(layers=[])
        self.slots = slots
        self.context = context
        self._keys: dict[int, Tensor] = {}
        self._values: dict[int, Tensor] = {}

    def resized(self, slots: int, context: int) -> SlotCache:
        """An empty cache for other ``slots`` and ``context``. Layers that this one knows are made at once, so
        that what they take of a GPU is taken when it was found to be free."""
        cache = SlotCache(slots, context)
        cache._keys = {layer: cache._allocate(keys) for layer, keys in self._keys.items()}
        cache._values = {layer: cache._allocate(values) for layer, values in self._values.items()}
        return cache

    def aim(self, span: slice, positions: Tensor, length: int, start: int) -> None:
        """The next pass: slots ``span``, tokens at ``positions`` ``[rows, tokens]``, and ``length``
        columns to look at. With several rows there is one token each; one row's are neighbours, from
        ``start`` on."""
        self._span = span
        self._start = start
        self._positions = positions
        self._length = length
        self._rows = torch.arange(len(positions), device=positions.device)

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write a layer's new keys and values; all that the pass may look at, new ones included."""
        if layer_idx not in self._keys:
            self._keys[layer_idx] = self._allocate(key_states)
            self._values[layer_idx] = self._allocate(value_states)
        return (
            self._write(self._keys[layer_idx], key_states),
            self._write(self._values[layer_idx], value_states),
        )

    @torch.inference_mode()
    def copy(self, source: int, target: int, count: int) -> None:
        """Make the first ``count`` tokens of slot ``target`` those of slot ``source``."""
        for held in (*self._keys.values(), *self._values.values()):
            held[target, :, :count] = held[source, :, :count]

    def _write(self, held: Tensor, new: Tensor) -> Tensor:
        view = held[self._span]
        if len(new) == 1:
            # Not from the positions: that would wait for a GPU twice a layer.
            view[0, :, self._start : self._start + new.shape[2]] = new[0]
        else:
            view[self._rows, :, self._positions[:, 0]] = new[:, :, 0]
        return view[:, :, : self._length]

    def _allocate(self, states: Tensor) -> Tensor:
        shape = (self.slots, states.shape[1], self.context + 1, states.shape[3])
        return zeros(shape, states.dtype, states.device)

    def get_seq_length(self, *args: Any, **kwargs: Any) -> int:
        return 0

    @property
    def bytes_per_token(self) -> int:
        """Memory that one token of one slot takes."""
        tensors = [*self._keys.values(), *self._values.values()]
        return sum(tensor[0, :, 0].numel() * tensor.element_size() for tensor in tensors)
