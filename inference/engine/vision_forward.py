"""Forward passes of models that see, batched over slots.

The language model inside such a model is run as ``ModuleForward`` runs any, but from embeddings where the
prompt has pictures, and with positions of its own for each slot: after a picture, Qwen's tokens count on
from the picture's longer side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from inference.engine.failures import in_our_words
from inference.engine.kernels.library import Kernels
from inference.engine.media import Media
from inference.engine.module_forward import COLUMNS, ModuleForward
from inference.protocol import Quantization


class VisionForward(ModuleForward):
    """Runs the language model inside ``model`` once ``allocate`` has made slots.

    ``axes`` of positions (3 for Qwen's), 1 for most; with ``by_layer`` it takes a mask for each kind of
    layer.
    """

    def __init__(
        self,
        model: Any,
        axes: int = 1,
        *,
        by_layer: bool = True,
        quantization: Quantization = "none",
        kernels: Kernels | None = None,
        later: bool = False,
    ) -> None:
        self._decoder = model.get_decoder()
        self._head = model.get_output_embeddings()
        super().__init__(model, quantization, kernels, later=later)
        self._cap = getattr(self._config, "final_logit_softcapping", None)
        self._axes = axes
        self._by_layer = self._by_layer and by_layer
        self._media: Media | None = None

    def _run_by(self, model: Any) -> nn.Module:
        """The language model: towers are small, and see worse with fewer bits."""
        return nn.ModuleList([self._decoder, self._head])

    def allocate(self, slots: int, context: int) -> None:
        super().allocate(slots, context)
        self._offsets = torch.zeros(slots, dtype=torch.long)

    def read(
        self,
        slot: int,
        start: int,
        tokens: Sequence[int],
        *,
        every: bool = False,
        media: Media | None = None,
    ) -> Tensor:
        """As ``ModuleForward``'s; from the embeddings of ``media``, of which ``tokens`` are a part."""
        self._offsets[slot] = media.offset if media else 0
        self._media = media
        try:
            return super().read(slot, start, tokens, every=every)
        finally:
            self._media = None

    def copy(self, source: int, target: int, count: int) -> None:
        super().copy(source, target, count)
        self._offsets[target] = self._offsets[source]

    @torch.inference_mode()
    def _run(
        self, span: slice, positions: Tensor, tokens: Tensor, looks: int | None = None, every: bool = False
    ) -> Tensor:
        last = int(positions.max()) if looks is None else looks
        length = min((last // COLUMNS + 1) * COLUMNS, self._cache.context)
        device = self._model.device
        media, start, end = self._media, int(positions[0, 0]), int(positions[0, -1]) + 1
        at = positions.to(device)
        self._cache.aim(span, at, length, start)
        with in_our_words():
            if media:
                embedded, turns = media.embeddings[None, start:end], media.positions[:, None, start:end]
            else:
                embedded = self._decoder.get_input_embeddings()(tokens.to(device))
                turns = (self._known(positions) + self._offsets[span, None])[None]
            turns = turns.to(device)
            output = self._decoder(
                inputs_embeds=embedded,
                position_ids=turns.expand(self._axes, -1, -1) if self._axes > 1 else turns[0],
                attention_mask=self._masks(at, length),
                past_key_values=self._cache,
                use_cache=True,
                **_deep(media, start, end),
            )
            hidden = output.last_hidden_state
            logits: Tensor = self._head(hidden if every else hidden[:, -1:])
        return self._cap * torch.tanh(logits / self._cap) if self._cap else logits

    def _mask(self, positions: Tensor, length: int, window: int | None) -> Tensor:
        mask = super()._mask(positions, length, window)
        if self._media:
            start, end = int(positions[0, 0]), int(positions[0, -1]) + 1
            for first, last in self._media.blocks_in(start, end):
                inside = torch.arange(first, last + 1, device=mask.device)
                # Within a picture every token sees every other, but for a window's older side.
                sees = inside > inside[:, None] - (window or length)
                part = mask[0, 0, first - start : last + 1 - start, first : last + 1]
                part[sees] = True if mask.dtype is torch.bool else 0.0
        return mask


def _deep(media: Media | None, start: int, end: int) -> dict[str, Any]:
    """What Qwen3-VL's first layers add, where there is anything."""
    if not media or not media.deep:
        return {}
    part = [layer[start:end] for layer in media.deep]
    return {
        "deepstack_visual_embeds": part,
        "visual_pos_masks": torch.ones(1, end - start, dtype=torch.bool, device=part[0].device),
    }
