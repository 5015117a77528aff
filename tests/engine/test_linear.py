from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from torch.nn import functional

from inference.engine.linear import fused_linear
from inference.protocol import Quantization
from tests.serving import PROJECT

# The largest error, in 8 bits, where all numbers are large.
LARGE = """
import torch
from inference.engine.linear import fused_linear
torch.manual_seed(0)
weight, inputs = torch.randn(16, 64).sign() * torch.rand(64).add(9), torch.rand(4, 64).add(9)
result = fused_linear([weight], [None], "int8")(inputs)
print(float(((result - inputs @ weight.T).abs() / (inputs @ weight.abs().T)).max()))
"""
# Relative to the largest result; measured 0.002, 0.006 and 0.06.
ERRORS: dict[Quantization, float] = {"none": 0.01, "int8": 0.02, "int4": 0.12}


@pytest.mark.parametrize("quantization", ERRORS)
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_a_layer_computes_what_it_should(
    quantization: Quantization, biased: bool, dtype: torch.dtype
) -> None:
    """Two layers side by side, over rows of several tokens."""
    torch.manual_seed(0)
    weights = [torch.randn(96, 64, dtype=dtype), torch.randn(32, 64, dtype=dtype)]
    biases = [torch.randn(96, dtype=dtype), torch.randn(32, dtype=dtype)] if biased else [None, None]
    inputs = torch.randn(3, 5, 64, dtype=dtype)
    result = fused_linear(weights, list(biases), quantization)(inputs)
    known = [bias.float() for bias in biases if bias is not None]
    expected = functional.linear(
        inputs.float(), torch.cat(weights).float(), torch.cat(known) if known else None
    )
    assert result.shape == (3, 5, 128)
    assert result.dtype is dtype
    assert (result.float() - expected).abs().max() <= ERRORS[quantization] * expected.abs().max()


@pytest.mark.parametrize("quantization", ERRORS)
@pytest.mark.parametrize("rows", [2, 3, 8, 16, 17])
def test_a_row_is_the_same_in_any_batch(quantization: Quantization, rows: int) -> None:
    torch.manual_seed(0)
    layer = fused_linear([torch.randn(128, 64, dtype=torch.bfloat16)], [None], quantization)
    # Rows of very different size: a scale shared by the batch would show.
    inputs = torch.randn(rows, 1, 64, dtype=torch.bfloat16) * torch.logspace(-2, 2, rows)[:, None, None]
    inputs = inputs.to(torch.bfloat16)
    together = layer(inputs)
    alone = torch.cat([layer(inputs[index : index + 1]) for index in range(rows)])
    assert torch.equal(together, alone)


def test_large_numbers_do_not_overflow_in_eight_bits() -> None:
    """Also on processors without VNNI: oneDNN is told that this is one."""
    done = subprocess.run(
        [sys.executable, "-c", LARGE],
        cwd=PROJECT,
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 0.02


def test_a_row_alone_is_summed_as_in_company() -> None:
    """In bfloat16, with many inputs of very different size: there the order of sums shows at times."""
    for seed in range(8):
        torch.manual_seed(seed)
        layer = fused_linear([torch.randn(576, 1536, dtype=torch.bfloat16)], [None], "none")
        inputs = (torch.randn(8, 1536) * torch.randn(8, 1536).mul(2).exp()).to(torch.bfloat16)
        together = layer(inputs)
        for row in range(8):
            assert torch.equal(layer(inputs[row : row + 1])[0], together[row])


@pytest.mark.parametrize("quantization", ["int8", "int4"])
def test_a_row_of_zeros_stays_zero(quantization: Quantization) -> None:
    layer = fused_linear([torch.randn(32, 64, dtype=torch.bfloat16)], [None], quantization)
    assert layer(torch.zeros(1, 1, 64, dtype=torch.bfloat16)).abs().max() < 1e-3


def test_weights_that_are_not_packed_are_in_memory_once() -> None:
    torch.manual_seed(0)
    modules = [torch.nn.Linear(32, width, bias=False) for width in (16, 48)]
    inputs = torch.randn(3, 32)
    expected = torch.cat([module(inputs) for module in modules], dim=1)
    fused = fused_linear([module.weight for module in modules], [None, None], "none")
    torch.testing.assert_close(fused(inputs), expected)
    torch.testing.assert_close(torch.cat([module(inputs) for module in modules], dim=1), expected)
    first, second = (module.weight.untyped_storage().data_ptr() for module in modules)
    assert first == second
