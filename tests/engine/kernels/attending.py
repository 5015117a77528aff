"""What tests of attention share: a layer over slots of chance, and the same mathematics in float64."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from inference.engine.kernels.library import Attention

EPSILON = 1e-5
SLOTS = 4


@dataclass
class Case:
    """One layer's attention over ``SLOTS`` slots of ``columns`` tokens."""

    heads: int
    key_heads: int
    size: int
    columns: int
    window: int = 0
    normed: bool = False

    def __post_init__(self) -> None:
        shape = (SLOTS, self.key_heads, self.columns, self.size)
        self.keys, self.values = spread(*shape), spread(*shape)
        self.norm_query = torch.rand(self.size) if self.normed else None
        self.norm_key = torch.rand(self.size) if self.normed else None
        self.layer = Attention(
            keys=self.keys.data_ptr(),
            values=self.values.data_ptr(),
            norm_query=None if self.norm_query is None else self.norm_query.data_ptr(),
            norm_key=None if self.norm_key is None else self.norm_key.data_ptr(),
            heads=self.heads,
            key_heads=self.key_heads,
            size=self.size,
            columns=self.columns,
            window=self.window,
            epsilon=EPSILON,
            scale=self.size**-0.5,
        )

    def tokens(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """What a linear layer made of so many tokens, and the cosine and sine of their positions."""
        angles = torch.rand(count, self.size // 2) * 6
        cosine, sine = (torch.cat((part, part), dim=1) for part in (angles.cos(), angles.sin()))
        return spread(count, (self.heads + 2 * self.key_heads) * self.size), cosine, sine

    def made(self, qkv: Tensor, cosine: Tensor, sine: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The queries, keys and values of tokens, ``[tokens, heads, size]`` in float64."""
        parts = qkv.double().view(len(qkv), -1, self.size)
        queries, keys, values = parts.split((self.heads, self.key_heads, self.key_heads), dim=1)
        if self.norm_query is not None and self.norm_key is not None:
            queries = functional.rms_norm(queries, (self.size,), self.norm_query.double(), EPSILON)
            keys = functional.rms_norm(keys, (self.size,), self.norm_key.double(), EPSILON)
        return turned(queries, cosine, sine), turned(keys, cosine, sine), values

    def attended(self, queries: Tensor, slot: int, start: int) -> Tensor:
        """What ``queries`` of neighbouring tokens make of the keys and values that lie in ``slot``, each of
        those that it may see: ``[tokens, heads * size]`` in float64."""
        end = start + len(queries)
        columns, at = torch.arange(end), torch.arange(start, end)[:, None]
        seen = columns <= at
        seen = seen & (columns > at - self.window) if self.window else seen
        held = (part[slot, :, :end].double() for part in (self.keys, self.values))
        result = functional.scaled_dot_product_attention(
            queries.transpose(0, 1), *held, attn_mask=seen, enable_gqa=True
        )
        return result.transpose(0, 1).flatten(1)


def spread(*shape: int) -> Tensor:
    return torch.randn(*shape).to(torch.bfloat16)


def turned(states: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    first, second = states.chunk(2, dim=-1)
    return states * cosine[:, None] + torch.cat((-second, first), dim=-1) * sine[:, None]
