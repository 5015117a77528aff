from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from inference.engine.lean_attention import grouped_attention


@pytest.mark.parametrize("heads", [(4, 4), (6, 2), (3, 1)])
@pytest.mark.parametrize("count", [1, 5])
def test_grouped_queries_see_what_each_would_see(heads: tuple[int, int], count: int) -> None:
    torch.manual_seed(0)
    queries = torch.randn(2, count, heads[0], 8)
    keys, values = torch.randn(2, 2, heads[1], 12, 8).unbind()
    mask = torch.rand(2, 1, count, 12) < 0.5
    mask[..., 0] = True
    expected = functional.scaled_dot_product_attention(
        queries.transpose(1, 2), keys, values, attn_mask=mask, enable_gqa=True
    ).transpose(1, 2)
    torch.testing.assert_close(grouped_attention(queries, keys, values, mask), expected)
