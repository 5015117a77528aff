"""The kernels against torch's own operations."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from inference.engine.kernels.library import Kernels
from tests.engine.kernels.attending import EPSILON, SLOTS, Case, spread

COLUMNS = 40


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


@pytest.mark.parametrize("size", [64, 128, 48])
@pytest.mark.parametrize("heads", [(4, 4), (6, 2), (3, 1)])
@pytest.mark.parametrize("window", [0, 5])
@pytest.mark.parametrize("normed", [False, True])
def test_attend(kernels: Kernels, size: int, heads: tuple[int, int], window: int, normed: bool) -> None:
    """Rows of different length in slots out of order, against torch's attention, one row at a time."""
    torch.manual_seed(0)
    case = Case(*heads, size, COLUMNS, window, normed)
    slots, positions = torch.tensor([2, 0, 3]), torch.tensor([0, 17, COLUMNS - 1])
    tokens = case.tokens(3)
    untouched = case.keys[1].clone()
    attended = kernels.attend(case.layer, *tokens, slots, positions)

    queries, keys, values = case.made(*tokens)
    for row, (slot, position) in enumerate(zip(slots.tolist(), positions.tolist(), strict=True)):
        torch.testing.assert_close(case.keys[slot, :, position].double(), keys[row], rtol=8e-3, atol=1e-6)
        assert torch.equal(case.values[slot, :, position].double(), values[row])
        expected = case.attended(queries[row : row + 1], slot, position)
        torch.testing.assert_close(attended[row : row + 1].double(), expected, rtol=1e-2, atol=1e-4)
    assert torch.equal(case.keys[1], untouched), "a slot that no row is in stays as it is"


def test_a_row_is_attended_to_the_same_in_any_batch(kernels: Kernels) -> None:
    torch.manual_seed(0)
    case = Case(heads=4, key_heads=2, size=64, columns=COLUMNS)
    tokens = case.tokens(SLOTS)
    slots, positions = torch.arange(SLOTS), torch.arange(SLOTS) * 9
    together = kernels.attend(case.layer, *tokens, slots, positions)
    for row in range(SLOTS):
        one = slice(row, row + 1)
        alone = kernels.attend(case.layer, *(part[one] for part in tokens), slots[one], positions[one])
        assert torch.equal(alone[0], together[row])
