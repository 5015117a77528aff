"""What attention of the lean forward pass is made of, in torch's operations."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

# Columns that are written: of one row, or one of each.
Where = slice | Tensor


def grouped_attention(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Attention of ``queries`` ``[rows, tokens, heads, size]`` to fewer heads of ``keys`` and ``values``
    ``[rows, heads, columns, size]``, as ``mask`` ``[rows, 1, tokens, columns]`` says; shaped as ``queries``.

    On CUDA no fast kernel takes both a mask and fewer key heads; one takes the queries of a group as
    further tokens of one head.
    """
    rows, count, heads, size = queries.shape
    held = keys.shape[1]
    grouped = queries.transpose(1, 2).reshape(rows, held, heads // held * count, size)
    attended = functional.scaled_dot_product_attention(
        grouped, keys, values, attn_mask=mask.repeat(1, 1, heads // held, 1)
    )
    return attended.reshape(rows, heads, count, size).transpose(1, 2)


def visible(positions: Tensor, length: int, window: int | None) -> Tensor:
    """Which columns each token may see: ``[rows, 1, tokens, length]``."""
    columns = torch.arange(length, device=positions.device)
    at = positions[:, None, :, None]
    seen = columns <= at
    return seen & (columns > at - window) if window else seen


def turned(states: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """``states`` ``[rows, tokens, heads, size]`` rotated by their positions (Su et al., 2021)."""
    first, second = states.chunk(2, dim=-1)
    return states * cosine + torch.cat((-second, first), dim=-1) * sine


def written(held: Tensor, new: Tensor, where: Where) -> Tensor:
    """``held`` ``[rows, heads, columns, size]`` with ``new`` ``[rows, tokens, heads, size]`` in the columns
    ``where``: one of each row, or neighbouring ones of a single row."""
    if isinstance(where, slice):
        held[0, :, where] = new[0].transpose(0, 1)
    else:
        held[torch.arange(len(new), device=new.device), :, where] = new[:, 0]
    return held
