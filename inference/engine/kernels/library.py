"""The compiled kernels, called over ctypes."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import POINTER, byref, c_float, c_int64, c_void_p
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor


class Attention(ctypes.Structure):
    """One layer's attention as ``heads.h`` knows it: pointers, which keep no tensor alive."""

    _fields_ = (
        *((name, c_void_p) for name in ("keys", "values", "norm_query", "norm_key")),
        *((name, c_int64) for name in ("heads", "key_heads", "size", "columns", "window")),
        *((name, c_float) for name in ("epsilon", "scale")),
    )


class Quantized(ctypes.Structure):
    """A linear layer as ``quantized.c`` knows it: pointers, which keep no tensor alive."""

    _fields_ = (
        *((name, c_void_p) for name in ("blocks", "bias")),
        *((name, c_int64) for name in ("outputs", "inputs", "bits")),
    )


class Dense(ctypes.Structure):
    """A linear layer as ``dense.c`` knows it: pointers, which keep no tensor alive."""

    _fields_ = (*((name, c_void_p) for name in ("blocks", "bias")), ("outputs", c_int64), ("inputs", c_int64))


_MULTIPLY = (c_void_p, c_int64, c_void_p, c_void_p, c_int64)


class Kernels:
    """The operations of the library at ``path``.

    Tensors are contiguous and on the CPU; what linear layers read and write is bfloat16, ``[rows, size]``,
    but for the last one's results, which are float32.
    """

    def __init__(self, path: Path) -> None:
        # The short ones keep Python's lock: giving it away and back would cost as much as they do.
        locked, free = ctypes.PyDLL(str(path)), ctypes.CDLL(str(path))
        self._add_norm = _function(locked, "add_norm", *[c_void_p] * 4, c_float, c_int64, c_int64)
        self._gate = _function(locked, "gate", c_void_p, c_void_p, c_int64, c_int64)
        self._attend = _function(
            free, "attend", POINTER(Attention), *[c_void_p] * 5, c_int64, c_void_p, c_int64
        )
        self._attend_chunk = _function(
            free, "attend_chunk", POINTER(Attention), *[c_void_p] * 3, *[c_int64] * 3, c_void_p, c_int64
        )
        self._multiply_dense = _function(free, "multiply_dense", POINTER(Dense), *_MULTIPLY)
        # Outputs of a block of ``Dense``, and whether nothing else multiplies by one faster.
        self.dense_width: int = free.dense_width()
        self.dense_is_fastest = bool(free.dense_is_fastest())
        self._multiply = (
            _function(free, "multiply", POINTER(Quantized), *_MULTIPLY) if free.can_multiply() else None
        )

    @property
    def can_multiply(self) -> bool:
        """Whether this processor has what ``multiply`` is written for."""
        return self._multiply is not None

    def add_norm(self, hidden: Tensor, delta: Tensor | None, weight: Tensor, epsilon: float) -> Tensor:
        """Add ``delta`` to ``hidden`` (float32) in place; its root-mean-square norm times ``weight``."""
        rows, size = hidden.shape
        out = torch.empty(rows, size, dtype=torch.bfloat16)
        added = None if delta is None else delta.data_ptr()
        self._add_norm(hidden.data_ptr(), added, weight.data_ptr(), out.data_ptr(), epsilon, rows, size)
        return out

    def gate(self, gate_up: Tensor) -> Tensor:
        """silu(gate) * up, which lie side by side."""
        rows, size = gate_up.shape[0], gate_up.shape[1] // 2
        out = torch.empty(rows, size, dtype=torch.bfloat16)
        self._gate(gate_up.data_ptr(), out.data_ptr(), rows, size)
        return out

    def attend(
        self, layer: Attention, qkv: Tensor, cosine: Tensor, sine: Tensor, slots: Tensor, positions: Tensor
    ) -> Tensor:
        """Write one new key and value for each row, and attend to all that ``layer`` lets it see.

        ``cosine`` and ``sine`` are float32, ``[rows, head size]``; ``slots`` and ``positions`` int64.
        """
        out = torch.empty(len(qkv), layer.heads * layer.size, dtype=torch.bfloat16)
        inputs = (tensor.data_ptr() for tensor in (qkv, cosine, sine, slots, positions))
        self._attend(byref(layer), *inputs, len(qkv), out.data_ptr(), torch.get_num_threads())
        return out

    def attend_chunk(
        self, layer: Attention, qkv: Tensor, cosine: Tensor, sine: Tensor, slot: int, start: int
    ) -> Tensor:
        """Write the keys and values of neighbouring tokens of ``slot``, the first at position ``start``, and
        let each attend to all that ``layer`` lets it see.

        ``cosine`` and ``sine`` are float32, ``[tokens, head size]``.
        """
        out = torch.empty(len(qkv), layer.heads * layer.size, dtype=torch.bfloat16)
        inputs = (tensor.data_ptr() for tensor in (qkv, cosine, sine))
        threads = torch.get_num_threads()
        self._attend_chunk(byref(layer), *inputs, slot, start, len(qkv), out.data_ptr(), threads)
        return out

    def multiply(self, layer: Quantized | Dense, inputs: Tensor, *, wide: bool = False) -> Tensor:
        """``inputs`` times the layer's weights, plus its bias; ``wide`` in float32."""
        function = self._multiply_dense if isinstance(layer, Dense) else self._multiply
        assert function is not None, "can_multiply says so"
        out = torch.empty(len(inputs), layer.outputs, dtype=torch.float32 if wide else torch.bfloat16)
        places = (None, out.data_ptr()) if wide else (out.data_ptr(), None)
        function(byref(layer), inputs.data_ptr(), len(inputs), *places, torch.get_num_threads())
        return out


def _function(library: ctypes.CDLL, name: str, *arguments: Any) -> Callable[..., None]:
    function = getattr(library, name)
    function.argtypes, function.restype = arguments, None
    return cast(Callable[..., None], function)
