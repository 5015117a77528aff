"""The lean forward pass by compiled kernels: one token for each of several slots, or a chunk of one.

The same mathematics as ``TorchStep``, in about eight calls a layer instead
of fifty, and attention to exactly the tokens that a row has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from inference.engine.failures import in_our_words
from inference.engine.kernels.library import Attention, Kernels
from inference.engine.lean_layers import LeanWeights


class KernelStep:
    """Decodes and reads with ``weights`` in bfloat16 on a CPU. ``keys`` and ``values`` are
    ``[layers, slots, key heads, columns, head size]``; ``rotary`` makes the cosine and sine of positions."""

    def __init__(
        self,
        kernels: Kernels,
        weights: LeanWeights,
        keys: Tensor,
        values: Tensor,
        *,
        heads: int,
        epsilon: float,
        rotary: Any,
    ) -> None:
        self._kernels = kernels
        self._weights = weights
        self._epsilon = epsilon
        self._rotary = rotary
        self._held = (keys, values)
        self._attention = [
            Attention(
                keys=layer_keys.data_ptr(),
                values=layer_values.data_ptr(),
                norm_query=None if layer.norm_query is None else layer.norm_query.data_ptr(),
                norm_key=None if layer.norm_key is None else layer.norm_key.data_ptr(),
                heads=heads,
                key_heads=keys.shape[2],
                size=keys.shape[4],
                columns=keys.shape[3],
                window=layer.window or 0,
                epsilon=epsilon,
                scale=keys.shape[4] ** -0.5,
            )
            for layer, layer_keys, layer_values in zip(weights.layers, keys, values, strict=True)
        ]

    @torch.inference_mode()
    def decode(self, slots: Sequence[int], positions: Sequence[int], tokens: Sequence[int]) -> Tensor:
        """Logits after one token for each of ``slots``: ``[rows, vocabulary]``."""
        rows, at = torch.tensor(slots), torch.tensor(positions)
        return self._pass(tokens, at, partial(self._kernels.attend, slots=rows, positions=at))

    @torch.inference_mode()
    def read(self, slot: int, start: int, tokens: Sequence[int], *, every: bool) -> Tensor:
        """Logits after the last of ``tokens``, read at ``start`` of ``slot``: ``[1, vocabulary]``; after
        ``every`` one of them: ``[tokens, vocabulary]``."""
        at = torch.arange(start, start + len(tokens))
        attend = partial(self._kernels.attend_chunk, slot=slot, start=start)
        return self._pass(tokens, at, attend, slice(None) if every else slice(-1, None))

    def _pass(
        self,
        tokens: Sequence[int],
        positions: Tensor,
        attend: Callable[[Attention, Tensor, Tensor, Tensor], Tensor],
        wanted: slice = slice(None),
    ) -> Tensor:
        """Logits after the ``wanted`` ones of ``tokens``, which ``attend`` lets see what they may."""
        kernels, weights, epsilon = self._kernels, self._weights, self._epsilon
        with in_our_words():
            hidden = functional.embedding(torch.tensor(tokens), weights.embedding).float()
            cosine, sine = (part[0].contiguous() for part in self._rotary(hidden[None], positions[None]))
            delta = None
            for layer, attention in zip(weights.layers, self._attention, strict=True):
                normed = kernels.add_norm(hidden, delta, layer.norm_attention, epsilon)
                attended = attend(attention, layer.qkv(normed), cosine, sine)
                normed = kernels.add_norm(hidden, layer.out(attended), layer.norm_feed_forward, epsilon)
                delta = layer.down(kernels.gate(layer.gate_up(normed)))
            delta = None if delta is None else delta[wanted]
            return weights.head(kernels.add_norm(hidden[wanted], delta, weights.norm, epsilon))
