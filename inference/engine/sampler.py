"""From logits to the next token, as one request's options say.

Temperature first, then ``top_k``, ``top_p`` and ``min_p``, each on what the one before left, then
a draw from the request's own random generator: same seed, same text. Temperature 0 takes the most
likely token.
"""

from __future__ import annotations

import torch
from torch import Tensor

from inference.protocol import Options


class Sampler:
    """Draws the tokens of one answer."""

    def __init__(self, options: Options) -> None:
        self._temperature = options.temperature or 0.0
        self._top_k = options.top_k or 0
        self._top_p = 1.0 if options.top_p is None else options.top_p
        self._min_p = options.min_p or 0.0
        self._random = torch.Generator()
        if options.seed is None or options.seed < 0:
            self._random.seed()
        else:
            self._random.manual_seed(options.seed)

    def draw(self, logits: Tensor) -> int:
        """The next token from ``logits`` of shape ``[vocabulary]``."""
        if self._temperature == 0:
            return int(logits.argmax())
        # Draws happen on the CPU, in float32: the same on every device.
        logits = logits.detach().to("cpu", torch.float32) / self._temperature
        candidates = min(self._top_k, len(logits)) or len(logits)
        best, tokens = torch.topk(logits, candidates)
        weights = self._cut(torch.softmax(best, dim=-1))
        return int(tokens[torch.multinomial(weights, 1, generator=self._random)])

    def _cut(self, probabilities: Tensor) -> Tensor:
        """``probabilities``, sorted downwards, with those outside of ``top_p`` and ``min_p`` at zero.

        The most likely token always stays.
        """
        before = probabilities.cumsum(-1) - probabilities
        keep = (before < self._top_p) & (probabilities >= self._min_p * probabilities[0])
        keep[0] = True
        return probabilities * keep
