"""The cuts: which of the likeliest tokens a row may choose from, by ``top_k``, ``typical_p``, ``top_p`` and
``min_p``, each on the probabilities of what the one before left."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from inference.protocol import Options


def cut(best: Tensor, options: Sequence[Options], total: Tensor | None = None) -> Tensor:
    """``best`` logits, falling, with -inf where a cut fell; the likeliest always stays.

    ``total`` ``[rows, 1]`` is the logarithm of the sum of the exponents of all logits, where ``best`` are
    not all that a row may choose from.
    """
    ranks = torch.arange(best.shape[1])
    top_k = column(options, "top_k", 0)
    best = best.masked_fill((ranks >= top_k) & (top_k > 0), -torch.inf)
    if any(option.typical_p not in (None, 1.0) for option in options):
        best = _cut_untypical(best, column(options, "typical_p", 1))
    top_p, min_p = column(options, "top_p", 1), column(options, "min_p", 0)
    others = ranks != best.argmax(dim=-1, keepdim=True)
    probabilities = best.softmax(dim=-1) if total is None else (best - total).exp()
    before = probabilities.cumsum(dim=-1) - probabilities
    floor = min_p * probabilities.max(dim=-1, keepdim=True).values
    return best.masked_fill(((before >= top_p) | (probabilities < floor)) & others, -torch.inf)


def _cut_untypical(best: Tensor, typical_p: Tensor) -> Tensor:
    """Keep the tokens whose surprise is nearest to the expected one (Meister et al., 2022)."""
    probabilities = best.softmax(dim=-1)
    surprise = -probabilities.clamp_min(1e-30).log()
    expected = (probabilities * surprise).sum(dim=-1, keepdim=True)
    order = (surprise - expected).abs().argsort(dim=-1, stable=True)
    sorted_probabilities = probabilities.gather(1, order)
    before = sorted_probabilities.cumsum(dim=-1) - sorted_probabilities
    far = (before >= typical_p) & (torch.arange(best.shape[1]) > 0)
    dropped = torch.zeros_like(far).scatter(1, order, far)
    return best.masked_fill(dropped & (typical_p < 1), -torch.inf)


def column(options: Sequence[Options], name: str, off: float) -> Tensor:
    """One option of every row, ``[rows, 1]``."""
    values = [getattr(option, name) for option in options]
    return torch.tensor([[off if value is None else value] for value in values], dtype=torch.float32)
