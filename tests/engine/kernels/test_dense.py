"""Layers in bfloat16 by the compiled kernels."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.engine.choice import choose_forward
from inference.engine.kernels.library import Kernels
from inference.engine.kernels.linear import dense_linear, takes_dense
from inference.engine.kernels.making import KernelsInTheMaking
from inference.engine.lean_forward import LeanForward
from inference.engine.linear import PackedLinear, PlainLinear, can_pack, linear_on
from inference.engine.module_forward import ModuleForward
from inference.protocol import Quantization
from tests.engine.test_families import FAMILIES, TEXTS, tiny


@given(
    seed=st.integers(0, 2**31),
    rows=st.integers(1, 140),
    outputs=st.integers(1, 200),
    half=st.integers(1, 40),
    biased=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_a_layer_computes_what_it_should_and_a_row_is_the_same_in_any_batch(
    kernels: Kernels, seed: int, rows: int, outputs: int, half: int, biased: bool
) -> None:
    torch.manual_seed(seed)
    weight = torch.randn(outputs, 2 * half).bfloat16()
    bias = torch.randn(outputs).bfloat16() if biased else torch.zeros(outputs)
    inputs = (torch.randn(rows, 2 * half) * torch.logspace(-2, 2, rows)[:, None]).bfloat16()
    wide = dense_linear(kernels, weight, bias if biased else None, wide=True)
    together = wide(inputs)
    assert together.dtype is torch.float32 and together.shape == (rows, outputs)
    expected = inputs.double() @ weight.double().T + bias.double()
    terms = inputs.double().abs() @ weight.double().abs().T + bias.double().abs()
    assert ((together - expected).abs() <= 1e-5 * terms).all()
    assert torch.equal(together, torch.cat([wide(inputs[row : row + 1]) for row in range(rows)]))
    narrow = dense_linear(kernels, weight, bias if biased else None)(inputs)
    assert torch.equal(narrow, together.bfloat16())


def test_it_takes_rows_of_any_shape(kernels: Kernels) -> None:
    layer, inputs = dense_linear(kernels, torch.randn(10, 8).bfloat16(), None), torch.randn(2, 3, 8)
    assert torch.equal(layer(inputs), layer(inputs.view(6, 8)).view(2, 3, 10))
    assert layer(inputs).dtype is torch.float32


def test_what_it_does_not_take_is_told() -> None:
    assert not takes_dense(torch.zeros(8, 7).bfloat16())
    assert not takes_dense(torch.zeros(8, 6))


@pytest.mark.parametrize(("family", "forward"), [("llama", LeanForward), ("gemma2", ModuleForward)])
@pytest.mark.parametrize("quantization", ["none", "int8", "int4"])
def test_logits_are_float32(family: str, forward: type, quantization: Quantization, kernels: Kernels) -> None:
    if quantization != "none" and not kernels.can_multiply:
        pytest.skip("this processor lacks AVX512-VNNI")
    model = tiny(family, FAMILIES[family], torch.bfloat16)
    if quantization == "none" and forward is ModuleForward and not can_pack(model.lm_head.weight):
        pytest.skip("without arithmetic in bfloat16 the layers of modules stay torch's own")
    chosen = choose_forward(
        model, TEXTS, wanted=2, longest=64, quantization=quantization, making=KernelsInTheMaking(kernels)
    )
    assert isinstance(chosen, forward)
    read, decoded = chosen.read(0, 0, [3, 1, 4, 1]), chosen.decode([0], [4], [5])
    for logits in (read, decoded):
        assert logits.dtype is torch.float32
        assert not torch.equal(logits, logits.bfloat16().float()), "nothing rounded them on the way"


@pytest.mark.parametrize("made", [PackedLinear, PlainLinear])
def test_what_was_made_without_kernels_goes_over_to_them(
    made: type[PackedLinear | PlainLinear], kernels: Kernels
) -> None:
    weight, bias, inputs = torch.randn(70, 24).bfloat16(), torch.randn(70).bfloat16(), torch.randn(3, 24)
    if made is PackedLinear and not can_pack(weight):
        pytest.skip("oneDNN packs no weights in bfloat16 for this processor")
    over = linear_on(kernels, made(weight, bias), wide=True)
    assert torch.equal(over(inputs), dense_linear(kernels, weight, bias, wide=True)(inputs))
