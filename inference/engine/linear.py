"""Linear layers in the layout that the processor reads fastest.

On CPUs with bfloat16 arithmetic, oneDNN multiplies by weights that were packed for it once about
twice as fast, at the batch sizes of decoding, as by weights in torch's own layout, which it packs
anew each time. Elsewhere a layer is torch's own. Each row's result is the same in any batch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Linear = Callable[[Tensor], Tensor]

# The number of rows that weights are packed for; others are multiplied nearly as fast.
ROWS = 8


def fused_linear(weights: list[Tensor], biases: list[Tensor | None]) -> Linear:
    """One layer that computes several of the same input: their results side by side."""
    weight = torch.cat(weights)
    known = [bias for bias in biases if bias is not None]
    bias = torch.cat(known) if known else None
    if can_pack(weight):
        return _packed(weight, bias)
    return lambda inputs: functional.linear(inputs, weight, bias)


def can_pack(weight: Tensor) -> bool:
    """Whether oneDNN can pack ``weight`` on this machine."""
    return (
        weight.device.type == "cpu"
        and weight.dtype is torch.bfloat16
        and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )


def _packed(weight: Tensor, bias: Tensor | None) -> Linear:
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), ROWS)

    def apply(inputs: Tensor) -> Tensor:
        result: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, packed, bias, "none", [], "")
        return result

    return apply
