"""Linear layers in 8 and 4 bits by the compiled kernels: their weights in the form ``quantized.c`` reads."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from inference.engine.kernels.library import Kernels, Quantized

# As in quantized.c: inputs that share a scale and an offset, outputs of a block, inputs taken at once.
GROUP = 32
LANES = 16
QUAD = 4
TINY = 1e-20


def can_quantize(weight: Tensor, kernels: Kernels) -> bool:
    """Whether the kernels take ``weight`` ``[outputs, inputs]``."""
    fits = weight.device.type == "cpu" and weight.dtype is torch.bfloat16 and weight.shape[1] % GROUP == 0
    return fits and kernels.can_multiply


def kernel_linear(
    kernels: Kernels, weight: Tensor, bias: Tensor | None, bits: int
) -> Callable[[Tensor], Tensor]:
    """The layer with ``weight`` in so many bits, of ``[…, inputs]`` in any number format."""
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
    kept = (blocks, added)

    def apply(rows: Tensor, _kept: object = kept) -> Tensor:
        result = kernels.multiply(layer, rows.reshape(-1, inputs).to(torch.bfloat16).contiguous())
        return result.to(rows.dtype).view(*rows.shape[:-1], outputs)

    return apply


def pack(weight: Tensor, bits: int) -> Tensor:
    """``weight`` as bytes: ``[blocks, groups, scales, offsets and numbers of a group]``."""
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
    return torch.cat((head, quads.flatten(2)), dim=2).contiguous()
