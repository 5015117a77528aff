"""From a vector for each token to one for a text: the poolings of sentence-transformers.

Several at once are laid side by side, in the order in which they are listed here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Pooling = Callable[[Tensor, Tensor], Tensor]
"""From hidden states ``[rows, tokens, width]`` in float32 and a mask ``[rows, tokens]``, 1 where there
is a token, to ``[rows, width]``. Padding stands after a text."""


def pooled(names: Sequence[str], hidden: Tensor, mask: Tensor) -> Tensor:
    """The vectors of all poolings of ``names``, side by side."""
    return torch.cat([POOLINGS[name](hidden.float(), mask) for name in names], dim=-1)


def _first(hidden: Tensor, mask: Tensor) -> Tensor:
    return hidden[:, 0]


def _most(hidden: Tensor, mask: Tensor) -> Tensor:
    return hidden.masked_fill(mask[..., None] == 0, -torch.inf).amax(dim=1)


def _mean(hidden: Tensor, mask: Tensor) -> Tensor:
    return _sum(hidden, mask) / mask.sum(dim=1, keepdim=True)


def _mean_of_root(hidden: Tensor, mask: Tensor) -> Tensor:
    return _sum(hidden, mask) / mask.sum(dim=1, keepdim=True).sqrt()


def _weighted_mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """Later tokens count for more (Muennighoff, 2022)."""
    return _mean(hidden, mask * torch.arange(1, mask.shape[1] + 1, device=mask.device))


def _last(hidden: Tensor, mask: Tensor) -> Tensor:
    return hidden[torch.arange(len(hidden), device=hidden.device), mask.sum(dim=1) - 1]


def _sum(hidden: Tensor, mask: Tensor) -> Tensor:
    # Chosen, not multiplied: a number that is none, at padding, must not reach the text.
    return torch.where(mask[..., None] > 0, hidden * mask[..., None], 0.0).sum(dim=1)


# Names as in sentence-transformers' pooling_mode; see ``inference.engine.sentences``.
POOLINGS: dict[str, Pooling] = {
    "cls": _first,
    "max": _most,
    "mean": _mean,
    "mean_sqrt_len_tokens": _mean_of_root,
    "weightedmean": _weighted_mean,
    "lasttoken": _last,
}
