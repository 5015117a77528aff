"""Linear layers by the compiled kernels: weights in the forms that ``dense.c`` and ``quantized.c`` read."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from inference.engine.kernels.library import Dense, Kernels, Quantized

# As in dense.c: inputs that are multiplied at once.
PAIR = 2
# As in quantized.c: inputs that share a scale and an offset, outputs of a block, inputs taken at once.
GROUP = 32
LANES = 16
QUAD = 4
# Outputs that are packed at a time: their float32 stays in the processor's cache, and takes no memory to
# speak of beside a table of all words.
PACKED = 1024
TINY = 1e-20


class KernelLinear:
    """A layer of ``[…, rows, inputs]`` in any number format; results in the same, or ``wide`` in float32."""

    def __init__(self, kernels: Kernels, layer: Dense | Quantized, kept: object, *, wide: bool) -> None:
        self._kernels = kernels
        self._layer = layer
        # What the layer's pointers lead to.
        self._kept = kept
        self._wide = wide

    def __call__(self, rows: Tensor) -> Tensor:
        if rows.dim() != 2:
            return self(rows.flatten(0, -2)).unflatten(0, rows.shape[:-1])
        result = self._kernels.multiply(self._layer, rows.to(torch.bfloat16).contiguous(), wide=self._wide)
        return result if self._wide else result.to(rows.dtype)


def takes_dense(weight: Tensor) -> bool:
    """Whether the kernels take ``weight`` ``[outputs, inputs]`` as it is."""
    return weight.device.type == "cpu" and weight.dtype is torch.bfloat16 and weight.shape[1] % PAIR == 0


def dense_linear(
    kernels: Kernels, weight: Tensor, bias: Tensor | None, *, wide: bool = False
) -> KernelLinear:
    """The layer with ``weight``, which is copied."""
    outputs, inputs = weight.shape
    missing = -outputs % kernels.dense_width
    padded = functional.pad(weight, (0, 0, 0, missing))
    blocks = padded.view(-1, kernels.dense_width, inputs // PAIR, PAIR).transpose(1, 2).contiguous()
    added = None if bias is None else functional.pad(bias.float(), (0, missing))
    layer = Dense(
        blocks=blocks.data_ptr(),
        bias=None if added is None else added.data_ptr(),
        outputs=outputs,
        inputs=inputs,
    )
    return KernelLinear(kernels, layer, (blocks, added), wide=wide)


def can_quantize(weight: Tensor, kernels: Kernels) -> bool:
    """Whether the kernels take ``weight`` ``[outputs, inputs]`` in fewer bits."""
    fits = weight.device.type == "cpu" and weight.dtype is torch.bfloat16 and weight.shape[1] % GROUP == 0
    return fits and kernels.can_multiply


def quantized_linear(
    kernels: Kernels, weight: Tensor, bias: Tensor | None, bits: int, *, wide: bool = False
) -> KernelLinear:
    """The layer with ``weight`` in so many bits."""
    outputs, inputs = weight.shape
    blocks = pack(weight, bits)
    added = None if bias is None else bias.float().contiguous()
    layer = Quantized(
        blocks=blocks.data_ptr(),
        bias=None if added is None else added.data_ptr(),
        outputs=outputs,
        inputs=inputs,
        bits=bits,
    )
    return KernelLinear(kernels, layer, (blocks, added), wide=wide)


def pack(weight: Tensor, bits: int) -> Tensor:
    """``weight`` as bytes: ``[blocks, groups, scales, offsets and numbers of a group]``."""
    return torch.cat([_packed(part, bits) for part in weight.split(PACKED)])


def _packed(weight: Tensor, bits: int) -> Tensor:
    """``pack`` for a few outputs."""
    highest = 2**bits - 1
    padded = functional.pad(weight.float(), (0, 0, 0, -len(weight) % LANES))
    groups = padded.view(-1, LANES, weight.shape[1] // GROUP, GROUP).transpose(1, 2)
    least, most = groups.amin(dim=3, keepdim=True), groups.amax(dim=3, keepdim=True)
    # Rounded first: the numbers make up for what bfloat16 leaves out.
    offsets = least.to(torch.bfloat16)
    scales = ((most - offsets.float()) / highest).clamp_min(TINY).to(torch.bfloat16)
    numbers = ((groups - offsets.float()) / scales.float()).round_().clamp_(0, highest).to(torch.uint8)
    quads = numbers.view(*numbers.shape[:3], GROUP // QUAD, QUAD).transpose(2, 3)
    if bits == 4:
        quads = quads[:, :, 0::2] | (quads[:, :, 1::2] << 4)
    head = torch.cat((scales.squeeze(3), offsets.squeeze(3)), dim=2).view(torch.uint8)
    return torch.cat((head, quads.flatten(2)), dim=2)
