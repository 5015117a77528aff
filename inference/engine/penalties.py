"""What is added to and taken from single logits before a draw: penalties for what a row said lately, by
the arithmetic of llama.cpp, and biases for tokens that a request names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from inference.engine.row import Row
from inference.protocol import Options


def penalizes(options: Options) -> bool:
    """Whether ``options`` change any logit."""
    return bool(
        options.repeat_penalty != 1.0
        or options.presence_penalty
        or options.frequency_penalty
        or options.logit_bias
    )


def penalized(logits: Tensor, rows: Sequence[Row]) -> Tensor:
    """``logits`` with each row's penalties for what it said lately, and its biases."""
    logits = logits.clone()
    penalties, biases = _Changes(), _Changes()
    for place, row in enumerate(rows):
        options = row.options
        repeat, presence = options.repeat_penalty or 1.0, options.presence_penalty or 0.0
        for token, times in Counter(_recent(row.tokens, options.repeat_last_n)).items():
            lower = times * (options.frequency_penalty or 0.0) + presence
            penalties.add(place, token, repeat, lower)
        for token, bias in (options.logit_bias or {}).items():
            if token < logits.shape[1]:
                biases.add(place, token, bias)
    if penalties:
        at, (repeats, lowered) = penalties.on(logits.device)
        picked = logits[at]
        logits[at] = torch.where(picked > 0, picked / repeats, picked * repeats) - lowered
    if biases:
        at, (added,) = biases.on(logits.device)
        logits[at] += added
    return logits


class _Changes:
    """Numbers for single logits, each of which is named once."""

    def __init__(self) -> None:
        self._places: list[tuple[int, int]] = []
        self._numbers: list[tuple[float, ...]] = []

    def __bool__(self) -> bool:
        return bool(self._places)

    def add(self, row: int, token: int, *numbers: float) -> None:
        self._places.append((row, token))
        self._numbers.append(numbers)

    def on(self, device: torch.device) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, ...]]:
        """The index of all logits, rows and tokens, and their numbers; in two copies, however many."""
        rows, tokens = torch.tensor(self._places, device=device).T
        return (rows, tokens), torch.tensor(self._numbers, device=device).T.unbind()


def _recent(tokens: list[int], last: int | None) -> list[int]:
    """The tokens that penalties look at: the last so many, all for -1."""
    if last is None or last < 0:
        return tokens
    return tokens[len(tokens) - min(last, len(tokens)) :]
