"""Linear layers in the layout and precision that the processor computes fastest.

In bfloat16 the compiled kernels multiply on CPUs with a dot product for it; on others with bfloat16
arithmetic oneDNN, by weights that were packed for it once up to twice as fast, at the batch sizes of
decoding, as by weights in torch's own layout, which it packs anew each time. In 8 and 4 bits the
compiled kernels multiply, where they can; else in 8 bits, weights
have a scale per output and inputs one per row, and oneDNN's integer units do the work, and in 4 bits,
weights have a scale and an offset per 32 inputs, and inputs stay as they are. Elsewhere a layer is
torch's own.

A row's result never depends on the rows beside it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from inference.engine.kernels.library import Kernels
from inference.engine.kernels.linear import can_quantize, dense_linear, quantized_linear, takes_dense
from inference.protocol import Quantization

Linear = Callable[[Tensor], Tensor]

# The number of rows that weights are packed for; others are multiplied nearly as fast.
ROWS = 8
# Inputs that share a scale and an offset in 4 bits, and outputs that torch's own takes at once.
GROUP, BLOCK = 32, 16
TINY = 1e-8
BITS = {"int8": 8, "int4": 4}
_multiply = torch.ops.mkldnn._linear_pointwise.default


def fused_linear(
    weights: list[Tensor],
    biases: list[Tensor | None],
    quantization: Quantization,
    kernels: Kernels | None = None,
) -> Linear:
    """One layer that computes several of the same input: their results side by side."""
    # A copy on a CPU in any case: what is read from a file keeps all of it in memory.
    alone = len(weights) == 1 and weights[0].device.type != "cpu"
    weight = weights[0].detach() if alone else torch.cat(weights).detach()
    known = [bias for bias in biases if bias is not None]
    bias = torch.cat(known).detach() if known else None
    if quantization != "none":
        if kernels and can_quantize(weight, kernels):
            return quantized_linear(kernels, weight, bias, BITS[quantization])
        return _eight_bit(weight, bias) if quantization == "int8" else _four_bit(weight, bias)
    if kernels and kernels.dense_is_fastest and takes_dense(weight):
        return dense_linear(kernels, weight, bias)
    if can_pack(weight):
        return PackedLinear(weight, bias)
    _share(weight, weights)
    return PlainLinear(weight, bias)


def head_linear(
    weight: Tensor, bias: Tensor | None, quantization: Quantization, kernels: Kernels | None
) -> Linear:
    """The last layer. By ``kernels`` its results, the logits, are float32: in bfloat16, where large ones come
    in steps of an eighth, often several tokens are likeliest at once."""
    weight = weight.detach()
    if kernels and quantization != "none" and can_quantize(weight, kernels):
        return quantized_linear(kernels, weight, bias, BITS[quantization], wide=True)
    if kernels and quantization == "none" and takes_dense(weight):
        return dense_linear(kernels, weight, bias, wide=True)
    return fused_linear([weight], [bias], quantization, kernels)


def linear_in(
    quantization: Quantization, kernels: Kernels | None, linear: Linear, *, wide: bool = False
) -> Linear:
    """``linear`` in fewer bits, if it was made to wait for that; ``wide`` for the last layer."""
    if not isinstance(linear, WaitingLinear):
        return linear
    if wide:
        return head_linear(linear.weights[0], linear.biases[0], quantization, kernels)
    return fused_linear(linear.weights, linear.biases, quantization, kernels)


def linear_on(kernels: Kernels, linear: Linear, *, wide: bool = False) -> Linear:
    """``linear``, made without ``kernels``, as it is made with them; ``wide`` for the last layer."""
    if not isinstance(linear, PackedLinear | PlainLinear) or not takes_dense(weight := linear.weight):
        return linear
    if not wide and not kernels.dense_is_fastest:
        return linear
    return dense_linear(kernels, weight, linear.bias, wide=wide)


def can_fuse(weight: Tensor, quantization: Quantization, kernels: Kernels | None) -> bool:
    """Whether ``fused_linear`` makes of ``weight`` something better than torch's own layer."""
    if quantization == "none":
        return can_pack(weight)
    if kernels and can_quantize(weight, kernels):
        return True
    whole = weight.shape[1] % GROUP == 0 and weight.shape[0] % BLOCK == 0
    return weight.device.type == "cpu" and (quantization == "int8" or whole)


def may_fuse(weight: Tensor, quantization: Quantization) -> bool:
    """Whether ``can_fuse`` says so of ``weight``, to be quantized, with any kernels or without."""
    return weight.device.type == "cpu" and (quantization == "int8" or weight.shape[1] % GROUP == 0)


def _share(fused: Tensor, weights: list[Tensor]) -> None:
    """Make ``weights`` views of ``fused``: on a GPU there is seldom room for both."""
    for weight, part in zip(weights, fused.split([len(weight) for weight in weights]), strict=True):
        weight.data = part


def can_pack(weight: Tensor) -> bool:
    """Whether oneDNN can pack ``weight`` on this machine."""
    return (
        weight.device.type == "cpu"
        and weight.dtype is torch.bfloat16
        and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )


class PlainLinear:
    """A layer as torch has it."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.weight, self.bias = weight, bias

    def __call__(self, inputs: Tensor) -> Tensor:
        return functional.linear(inputs, self.weight, self.bias)


class WaitingLinear:
    """Layers of the same input, to be fused in fewer bits later: until then their weights stay where they
    lie, which may be a file."""

    def __init__(self, weights: list[Tensor], biases: list[Tensor | None]) -> None:
        self.weights, self.biases = [weight.detach() for weight in weights], biases

    def __call__(self, inputs: Tensor) -> Tensor:
        rows = accompanied(inputs)
        layers = zip(self.weights, self.biases, strict=True)
        results = torch.cat([functional.linear(rows, weight, bias) for weight, bias in layers], dim=-1)
        return results[: len(inputs)]


class PackedLinear:
    """A layer of which oneDNN has packed the weights."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), ROWS)
        self.bias = bias

    @property
    def weight(self) -> Tensor:
        """The weights as they were, a copy."""
        return self._packed.to_dense()

    def __call__(self, inputs: Tensor) -> Tensor:
        result: Tensor = _multiply(accompanied(inputs), self._packed, self.bias, "none", [], "")
        return result[: len(inputs)]


def accompanied(inputs: Tensor) -> Tensor:
    """``inputs``, a single row twice: oneDNN sums that in another order than several."""
    return torch.cat((inputs, inputs)) if inputs.shape[:-1].numel() == 1 else inputs


def _eight_bit(weight: Tensor, bias: Tensor | None) -> Linear:
    scales = weight.float().abs().amax(dim=1).clamp_min(TINY) / largest_weight()
    whole = (weight.float() / scales[:, None]).round().to(torch.int8)
    packed = torch.ops.onednn.qlinear_prepack(whole, [ROWS, weight.shape[1]])

    def apply(inputs: Tensor) -> Tensor:
        rows = inputs.reshape(-1, inputs.shape[-1]).float()
        scale = rows.abs().amax(dim=1, keepdim=True).clamp_min(TINY) / 127
        # The integer units take inputs without a sign: 128 stands for 0.
        quantized = (rows / scale).round_().add_(128).to(torch.uint8)
        result = _multiply_whole(quantized, 128, packed, scales)
        result = (result * scale).to(inputs.dtype).view(*inputs.shape[:-1], -1)
        return result if bias is None else result + bias

    return apply


@functools.cache
def largest_weight() -> int:
    """The largest whole number that stands for a weight in 8 bits, as a trial shows.

    Processors without VNNI sum two products in 16 bits, where two of the largest do not fit: there weights
    have 7 bits. Source: "Nuances of int8 Computations" in oneDNN's developer guide.
    """
    weights, inputs = torch.full((BLOCK, GROUP), 127).to(torch.int8), torch.full((ROWS, GROUP), 255)
    packed = torch.ops.onednn.qlinear_prepack(weights, [ROWS, GROUP])
    sums = _multiply_whole(inputs.to(torch.uint8), 0, packed, torch.ones(BLOCK))
    return 127 if bool((sums == 127 * 255 * GROUP).all()) else 64


def _multiply_whole(rows: Tensor, zero: int, packed: Tensor, scales: Tensor) -> Tensor:
    """``rows``, in which ``zero`` stands for 0, times whole weights that have ``scales``; in float32."""
    offsets = torch.zeros(len(scales), dtype=torch.int32)
    result: Tensor = torch.ops.onednn.qlinear_pointwise(
        rows, 1.0, zero, packed, scales, offsets, None, 1.0, 0, torch.float32, "none", [], ""
    )
    return result


def _four_bit(weight: Tensor, bias: Tensor | None) -> Linear:
    groups = weight.float().view(len(weight), -1, GROUP)
    lowest, highest = groups.amin(dim=2, keepdim=True), groups.amax(dim=2, keepdim=True)
    scales = (highest - lowest).clamp_min(TINY) / 15
    whole = ((groups - lowest) / scales).round().clamp_(0, 15).to(torch.int32).view_as(weight)
    packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(whole, 1)
    # The kernel reads a weight as (number - 8) * scale + offset.
    pairs = torch.cat((scales, lowest + 8 * scales), dim=2).transpose(0, 1).to(torch.bfloat16).contiguous()

    def apply(inputs: Tensor) -> Tensor:
        rows = inputs.reshape(-1, inputs.shape[-1]).to(torch.bfloat16)
        result = torch.ops.aten._weight_int4pack_mm_for_cpu(rows, packed, GROUP, pairs)
        result = result.to(inputs.dtype).view(*inputs.shape[:-1], -1)
        return result if bias is None else result + bias

    return apply
