"""Layers in 8 and 4 bits by the compiled kernels."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from inference.engine.kernels.library import Kernels
from inference.engine.kernels.linear import GROUP, LANES, PACKED, can_quantize, quantized_linear

# Relative to the largest result; measured 0.005 and 0.06.
ERRORS = {8: 0.01, 4: 0.12}


@pytest.fixture(scope="session")
def multiplying(kernels: Kernels) -> Kernels:
    if not kernels.can_multiply:
        pytest.skip("this processor lacks AVX512-VNNI")
    return kernels


def weights(outputs: int, inputs: int) -> Tensor:
    return torch.randn(outputs, inputs).to(torch.bfloat16)


@pytest.mark.parametrize("bits", ERRORS)
@pytest.mark.parametrize("outputs", [LANES, 3 * LANES + 5, PACKED + LANES + 5])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("rows", [1, 2, 5, 8, 31])
def test_a_layer_computes_what_it_should(
    multiplying: Kernels, bits: int, outputs: int, biased: bool, rows: int
) -> None:
    torch.manual_seed(0)
    weight, inputs = weights(outputs, 96), torch.randn(rows, 96).to(torch.bfloat16)
    bias = torch.randn(outputs).to(torch.bfloat16) if biased else None
    result = quantized_linear(multiplying, weight, bias, bits)(inputs)
    expected = inputs.float() @ weight.float().T + (0 if bias is None else bias.float())
    assert result.shape == (rows, outputs)
    assert (result.float() - expected).abs().max() <= ERRORS[bits] * expected.abs().max()


@pytest.mark.parametrize("bits", ERRORS)
def test_numbers_that_the_bits_can_tell_apart_are_exact(multiplying: Kernels, bits: int) -> None:
    """A layer that picks single inputs gives them back: nothing is swapped within a block."""
    picked = torch.eye(2 * GROUP, dtype=torch.bfloat16)
    inputs = torch.arange(-GROUP, GROUP).to(torch.bfloat16)[None]
    result = quantized_linear(multiplying, picked, None, bits)(inputs).float()
    assert (result - inputs.float()).abs().max() < GROUP / 127
    assert all(first <= second for first, second in pairwise(result[0].tolist()))


@pytest.mark.parametrize("bits", ERRORS)
@given(seed=st.integers(0, 2**31), rows=st.integers(1, 20))
@settings(max_examples=20, deadline=None)
def test_a_row_is_the_same_in_any_batch(multiplying: Kernels, bits: int, seed: int, rows: int) -> None:
    torch.manual_seed(seed)
    layer = quantized_linear(multiplying, weights(40, 64), None, bits)
    inputs = (torch.randn(rows, 64) * torch.logspace(-2, 2, rows)[:, None]).to(torch.bfloat16)
    together = layer(inputs)
    alone = torch.cat([layer(inputs[row : row + 1]) for row in range(rows)])
    assert torch.equal(together, alone)


@pytest.mark.parametrize("bits", ERRORS)
def test_zeros_stay_zero(multiplying: Kernels, bits: int) -> None:
    assert not quantized_linear(multiplying, weights(32, 64), None, bits)(torch.zeros(1, 64).bfloat16()).any()
    flat = torch.zeros(32, 64, dtype=torch.bfloat16)
    assert not quantized_linear(multiplying, flat, None, bits)(torch.ones(1, 64).bfloat16()).any()


@pytest.mark.parametrize("bits", ERRORS)
@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_what_is_no_number_stays_none(multiplying: Kernels, bits: int, broken: float) -> None:
    """Rounded to a whole number it would be one, and a model that overflows would say something."""
    torch.manual_seed(0)
    layer, inputs = quantized_linear(multiplying, weights(40, 96), None, bits), torch.randn(3, 96).bfloat16()
    whole = layer(inputs)
    inputs[1, 50] = broken
    result = layer(inputs)
    assert not result[1].isfinite().any()
    assert torch.equal(result[::2], whole[::2])


def test_what_the_kernels_do_not_take_is_told(kernels: Kernels) -> None:
    assert not can_quantize(torch.zeros(32, 48, dtype=torch.bfloat16), kernels)
    assert not can_quantize(torch.zeros(32, 64), kernels)
