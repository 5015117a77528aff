"""The lean forward pass by torch's operations: on any device, in any precision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from inference.engine.failures import in_our_words
from inference.engine.lean_attention import Where, grouped_attention, turned, visible, written
from inference.engine.lean_layers import Layer, LeanWeights

# Columns are looked at in multiples of this, so that few shapes occur.
COLUMNS = 64


class TorchStep:
    """Decodes and reads with ``weights``.

    ``keys`` and ``values`` are ``[layers, slots, key heads, columns, head size]``, the last column one to
    write what nobody will see; ``rotary`` makes the cosine and sine of positions.
    """

    def __init__(
        self,
        weights: LeanWeights,
        keys: Tensor,
        values: Tensor,
        *,
        heads: int,
        epsilon: float,
        rotary: Any,
    ) -> None:
        self._weights = weights
        self._keys, self._values = keys, values
        self._heads = heads
        self._epsilon = epsilon
        self._rotary = rotary
        self._device, self._dtype = keys.device, keys.dtype
        _, _, self._key_heads, columns, self._size = keys.shape
        self._context = columns - 1

    def read(self, slot: int, start: int, tokens: Sequence[int], *, every: bool) -> Tensor:
        """Logits after the last of ``tokens``, read at ``start`` of ``slot``: ``[1, vocabulary]``; after
        ``every`` one of them: ``[tokens, vocabulary]``."""
        positions = torch.arange(start, start + len(tokens), device=self._device)[None]
        end = start + len(tokens)
        hidden = self._run(slice(slot, slot + 1), positions, torch.tensor([tokens]), end, slice(start, end))
        return self._logits(hidden[0] if every else hidden[:, -1])

    def decode(self, slots: Sequence[int], positions: Sequence[int], tokens: Sequence[int]) -> Tensor:
        """Logits of one token for each of ``slots``, in rising order: ``[rows, vocabulary]``."""
        first, last = slots[0], slots[-1]
        rows = torch.tensor(slots) - first
        # Slots within the span that have nothing to say write where nobody looks.
        at = torch.full((last - first + 1, 1), self._context)
        said = torch.zeros_like(at)
        at[rows, 0] = torch.tensor(positions)
        said[rows, 0] = torch.tensor(tokens)
        # Of a single row the place is known here, where nobody has to wait for the device to tell.
        placed, end = at.to(self._device), max(positions) + 1
        where = slice(end - 1, end) if first == last else placed[:, 0]
        picked = rows.to(self._device)  # before the pass: a copy would wait for it
        hidden = self._run(slice(first, last + 1), placed, said, end, where)[:, -1]
        return self._logits(hidden if len(slots) == len(at) else hidden[picked])

    def span(self, span: slice, positions: Tensor, tokens: Tensor, seen: int) -> Tensor:
        """Logits of one token for each slot of ``span``: ``[rows, vocabulary]``."""
        return self._logits(self._run(span, positions, tokens, seen, positions[:, 0])[:, -1])

    @torch.inference_mode()
    def _run(self, span: slice, positions: Tensor, tokens: Tensor, seen: int, where: Where) -> Tensor:
        """One pass over ``span``, ``positions`` and ``tokens`` ``[rows, tokens]``, which go to the columns
        ``where``: what the last layer makes of each, ``[rows, tokens, width]``."""
        length = min(-(-seen // COLUMNS) * COLUMNS, self._context)
        with in_our_words():
            embedded = functional.embedding(tokens.to(self._device), self._weights.embedding)
            cosine, sine = self._rotary(embedded, positions)
            # What passes from layer to layer is summed in float32, closer to the true sums than the
            # modules are: where two tokens are nearly as likely, rounding decides.
            hidden = embedded.float()
            turn = (cosine[:, :, None], sine[:, :, None])
            windows = {layer.window for layer in self._weights.layers}
            masks = {window: visible(positions, length, window) for window in windows}
            for layer, keys, values in zip(self._weights.layers, self._keys, self._values, strict=True):
                cache = (keys[span], values[span])
                attended = self._attend(layer, hidden, cache, where, turn, masks[layer.window])
                hidden = hidden + attended
                hidden = hidden + self._feed_forward(layer, hidden)
            return hidden

    @torch.inference_mode()
    def _logits(self, hidden: Tensor) -> Tensor:
        """``[rows, width]`` to ``[rows, vocabulary]``."""
        with in_our_words():
            return self._weights.head(self._normed(hidden, self._weights.norm))

    def _attend(
        self,
        layer: Layer,
        hidden: Tensor,
        cache: tuple[Tensor, Tensor],
        where: Where,
        turn: tuple[Tensor, Tensor],
        mask: Tensor,
    ) -> Tensor:
        rows, count, _ = hidden.shape
        qkv = layer.qkv(self._normed(hidden, layer.norm_attention))
        qkv = qkv.view(rows, count, self._heads + 2 * self._key_heads, self._size)
        queries, keys, values = qkv.split((self._heads, self._key_heads, self._key_heads), dim=2)
        if layer.norm_query is not None and layer.norm_key is not None:
            queries = self._normed(queries, layer.norm_query)
            keys = self._normed(keys, layer.norm_key)
        queries, keys = turned(queries, *turn), turned(keys, *turn)
        held_keys = written(cache[0], keys, where)[:, :, : mask.shape[-1]]
        held_values = written(cache[1], values, where)[:, :, : mask.shape[-1]]
        if count == 1:
            # The queries of a group share their keys as if they were tokens of one head.
            grouped = queries.view(rows, self._key_heads, -1, self._size)
            attended = functional.scaled_dot_product_attention(
                grouped, held_keys, held_values, attn_mask=mask
            )
        elif queries.device.type == "cuda":
            attended = grouped_attention(queries, held_keys, held_values, mask)
        else:
            attended = functional.scaled_dot_product_attention(
                queries.transpose(1, 2), held_keys, held_values, attn_mask=mask, enable_gqa=True
            ).transpose(1, 2)
        return layer.out(attended.reshape(rows, count, -1))

    def _feed_forward(self, layer: Layer, hidden: Tensor) -> Tensor:
        gate, up = layer.gate_up(self._normed(hidden, layer.norm_feed_forward)).chunk(2, dim=-1)
        return layer.down(functional.silu(gate) * up)

    def _normed(self, hidden: Tensor, weight: Tensor) -> Tensor:
        return functional.rms_norm(hidden.float(), weight.shape, weight, self._epsilon).to(self._dtype)
