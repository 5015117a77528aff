"""The kernels against torch's own operations."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from inference.engine.kernels.library import Attention, Kernels

EPSILON = 1e-5
COLUMNS = 40


def spread(*shape: int) -> Tensor:
    return torch.randn(*shape).to(torch.bfloat16)


@pytest.mark.parametrize("with_delta", [False, True])
def test_add_norm(kernels: Kernels, with_delta: bool) -> None:
    torch.manual_seed(0)
    hidden, weight = torch.randn(3, 70), torch.randn(70)
    delta = spread(3, 70) if with_delta else None
    expected = hidden + delta.float() if delta is not None else hidden.clone()
    normed = kernels.add_norm(hidden, delta, weight, EPSILON)
    assert torch.equal(hidden, expected), "added in place"
    torch.testing.assert_close(
        normed.float(), functional.rms_norm(expected, (70,), weight, EPSILON), rtol=8e-3, atol=1e-6
    )


def test_gate(kernels: Kernels) -> None:
    torch.manual_seed(0)
    gate_up = spread(3, 2 * 70) * 8
    gate_up[0, 0], gate_up[0, 1] = 1e4, -1e4
    gate, up = gate_up.float().chunk(2, dim=1)
    torch.testing.assert_close(
        kernels.gate(gate_up).float(), functional.silu(gate) * up, rtol=8e-3, atol=1e-6
    )


def turned(states: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    first, second = states.chunk(2, dim=-1)
    return states * cosine[:, None] + torch.cat((-second, first), dim=-1) * sine[:, None]


@pytest.mark.parametrize("size", [64, 128, 48])
@pytest.mark.parametrize("heads", [(4, 4), (6, 2), (3, 1)])
@pytest.mark.parametrize("window", [0, 5])
@pytest.mark.parametrize("normed", [False, True])
def test_attend(kernels: Kernels, size: int, heads: tuple[int, int], window: int, normed: bool) -> None:
    """Rows of different length in slots out of order, against torch's attention, one row at a time."""
    torch.manual_seed(0)
    queries, key_heads = heads
    keys, values = spread(4, key_heads, COLUMNS, size), spread(4, key_heads, COLUMNS, size)
    norms = (torch.rand(size), torch.rand(size)) if normed else (None, None)
    layer = Attention(
        keys=keys.data_ptr(),
        values=values.data_ptr(),
        norm_query=norms[0].data_ptr() if norms[0] is not None else None,
        norm_key=norms[1].data_ptr() if norms[1] is not None else None,
        heads=queries,
        key_heads=key_heads,
        size=size,
        columns=COLUMNS,
        window=window,
        epsilon=EPSILON,
        scale=size**-0.5,
    )
    slots, positions = torch.tensor([2, 0, 3]), torch.tensor([0, 17, COLUMNS - 1])
    qkv, angles = spread(3, (queries + 2 * key_heads) * size), torch.rand(3, size // 2) * 6
    cosine, sine = (torch.cat((part, part), dim=1) for part in (angles.cos(), angles.sin()))
    untouched = keys[1].clone()
    attended = kernels.attend(layer, qkv, cosine, sine, slots, positions)

    parts = qkv.float().view(3, -1, size).split((queries, key_heads, key_heads), dim=1)
    wanted, new_keys, new_values = parts
    if norms[0] is not None and norms[1] is not None:
        wanted = functional.rms_norm(wanted, (size,), norms[0], EPSILON)
        new_keys = functional.rms_norm(new_keys, (size,), norms[1], EPSILON)
    wanted, new_keys = turned(wanted, cosine, sine), turned(new_keys, cosine, sine)
    for row, (slot, position) in enumerate(zip(slots.tolist(), positions.tolist(), strict=True)):
        torch.testing.assert_close(keys[slot, :, position].float(), new_keys[row], rtol=8e-3, atol=1e-6)
        assert torch.equal(values[slot, :, position].float(), new_values[row])
        seen = slice(max(0, position - window + 1) if window else 0, position + 1)
        expected = functional.scaled_dot_product_attention(
            wanted[row, :, None], keys[slot, :, seen].float(), values[slot, :, seen].float(), enable_gqa=True
        )
        torch.testing.assert_close(attended[row].float(), expected.flatten(), rtol=1e-2, atol=1e-4)
    assert torch.equal(keys[1], untouched), "a slot that no row is in stays as it is"


def test_a_row_is_attended_to_the_same_in_any_batch(kernels: Kernels) -> None:
    torch.manual_seed(0)
    keys, values = spread(8, 2, COLUMNS, 64), spread(8, 2, COLUMNS, 64)
    layer = Attention(
        keys=keys.data_ptr(),
        values=values.data_ptr(),
        heads=4,
        key_heads=2,
        size=64,
        columns=COLUMNS,
        epsilon=EPSILON,
        scale=0.125,
    )
    qkv, turns = spread(8, 8 * 64), torch.rand(8, 64)
    slots, positions = torch.arange(8), torch.arange(8) * 4
    together = kernels.attend(layer, qkv, turns, turns, slots, positions)
    for row in range(8):
        one = slice(row, row + 1)
        alone = kernels.attend(layer, qkv[one], turns[one], turns[one], slots[one], positions[one])
        assert torch.equal(alone[0], together[row])
