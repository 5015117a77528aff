"""Forward passes over transformers' own modules, for any causal model with a usual cache.

Rows are ragged: each has its own position. The mask says which columns a row's token may see, all
up to its own for full attention and a window of them for sliding layers; transformers' modules
take such a 4-D mask as it is, and a dict of two where their layers differ.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from inference.engine.cache import SlotCache
from inference.engine.failures import in_our_words
from inference.engine.kernels.library import Kernels
from inference.engine.linear import Linear, PlainLinear
from inference.engine.long_rope import settle_frequencies
from inference.engine.module_linears import SwappedLinears
from inference.engine.promise import Changeover, Promise, Taking, takes_kernels
from inference.errors import CannotLoad
from inference.protocol import Quantization

logger = logging.getLogger(__name__)

# Columns are looked at in multiples of this, so that few shapes occur.
COLUMNS = 64


class ModuleForward:
    """Runs ``model``, its linear layers swapped for faster ones, once ``allocate`` has made slots.

    ``later``: in ``quantization`` only once the kernels are made that it is to ``expect``.
    """

    rewinds = True

    def __init__(
        self,
        model: Any,
        quantization: Quantization = "none",
        kernels: Kernels | None = None,
        *,
        later: bool = False,
    ) -> None:
        self._model = model
        head = model.get_output_embeddings()
        self._linears = SwappedLinears(self._run_by(model), head, quantization, kernels, later=later)
        if quantization != "none" and not self._linears:
            raise CannotLoad(f"This model has no layers that can be loaded in {quantization}.")
        self._takes_kernels = takes_kernels(model) and not kernels
        self._quantization, self.provisional = quantization, later
        self._changeover = Changeover()
        self._cache = SlotCache(0, 0)
        self._config = model.config.get_text_config()
        self._by_layer = bool(getattr(self._config, "layer_types", None))

    @property
    def manner(self) -> str:
        """How this runs a model, for people to read."""
        return "batched, transformers' modules" + (", still to be quantized" if self.provisional else "")

    def _run_by(self, model: Any) -> nn.Module:
        """The part of ``model`` that runs in every pass."""
        whole: nn.Module = model
        return whole

    def settle(self) -> None:
        """This is how the model will be run: let go of what it will not need."""
        self._linears.settle(self._model)

    def undo(self) -> None:
        """Leave the model as it was."""
        self._linears.undo()

    def allocate(self, slots: int, context: int) -> None:
        """Make ``slots`` empty slots of ``context`` tokens."""
        self.slots, self.context = slots, context
        self._cache = self._cache.resized(slots, context)
        settle_frequencies(self._model, context)

    @property
    def bytes_per_token(self) -> int:
        """Memory that a token of one slot takes; known once a token has been read."""
        return self._cache.bytes_per_token

    def read(
        self, slot: int, start: int, tokens: Sequence[int], *, every: bool = False, media: None = None
    ) -> Tensor:
        """Logits after the last of ``tokens``, read at ``start`` of ``slot``: ``[1, vocabulary]``; after
        ``every`` one of them: ``[tokens, vocabulary]``."""
        positions = torch.arange(start, start + len(tokens))[None]
        logits = self._run(slice(slot, slot + 1), positions, torch.tensor([tokens]), every=every)
        return logits[0] if every else logits[:, -1]

    def copy(self, source: int, target: int, count: int) -> None:
        """Make the first ``count`` tokens of slot ``target`` those of slot ``source``."""
        self._cache.copy(source, target, count)

    def decode(self, slots: Sequence[int], positions: Sequence[int], tokens: Sequence[int]) -> Tensor:
        """Logits of one token for each of ``slots``: ``[rows, vocabulary]``."""
        first, last = slots[0], slots[-1]
        rows = torch.tensor(slots) - first
        # Slots within the span that have nothing to say write where nobody looks.
        at = torch.full((last - first + 1, 1), self._cache.context)
        said = torch.zeros_like(at)
        at[rows, 0] = torch.tensor(positions)
        said[rows, 0] = torch.tensor(tokens)
        logits = self._run(slice(first, last + 1), at, said, looks=max(positions))[:, -1]
        return logits[rows.to(self._model.device)]

    def expect(self, promise: Promise) -> None:
        """Go on with the kernels of ``promise`` once they are made, where this can run on any."""
        if self._takes_kernels:
            self._changeover.expect(promise)

    def prepare(self, *, idle: bool) -> bool:
        """Between two steps, make the next ones faster: True if there was something to do."""
        return self._changeover.go_on(self._quantize if self.provisional else self._take)

    def _take(self, promise: Promise) -> Taking:
        """Multiply by the kernels of ``promise`` from here, if they do right by the first layer, the head.

        True after each layer: at no time are there all weights twice.
        """
        kernels = promise.making.made
        if kernels is None:
            return
        linears = self._linears.on(kernels)
        if not self._became(dict(islice(linears, 1)), promise):
            logger.warning("The kernels do not fit this model: it goes on without them.")
            return
        yield True
        for module, linear in linears:
            self._linears.use({module: linear})
            yield True

    def _quantize(self, promise: Promise) -> Taking:
        """Run on weights in fewer bits from here, by the kernels of ``promise`` if there are any.

        True after each layer. All are made beside those in use, which lie in their file as a rule: only
        together can it be told whether the model bears it.
        """
        linears: dict[nn.Linear, Linear] = {}
        for module, linear in self._linears.in_fewer_bits(promise.making.made):
            linears[module] = linear
            yield True
        smaller = any(not isinstance(linear, PlainLinear) for linear in linears.values())
        if smaller and self._became(linears, promise):
            self.provisional = False
        else:
            logger.warning("This model does not bear %s: it goes on as it is.", self._quantization)
        yield True

    def _became(self, linears: Mapping[nn.Linear, Linear], promise: Promise) -> bool:
        """Compute by ``linears`` from here, if a twin with slots of its own does right by them."""
        before, fits = self._linears.use(linears), False
        try:
            fits = promise.fits(copy.copy(self))
        finally:
            if not fits:
                self._linears.use(before)
            # The twin's slots are shorter.
            settle_frequencies(self._model, self.context)
        return fits

    @torch.inference_mode()
    def _run(
        self, span: slice, positions: Tensor, tokens: Tensor, looks: int | None = None, every: bool = False
    ) -> Tensor:
        """One pass over ``span``; ``looks`` is the last column that any row needs to see. Logits of
        ``every`` token, or of the last: ``[rows, tokens, vocabulary]``."""
        last = int(positions.max()) if looks is None else looks
        length = min((last // COLUMNS + 1) * COLUMNS, self._cache.context)
        device, start = self._model.device, int(positions[0, 0])
        positions = positions.to(device)
        self._cache.aim(span, positions, length, start)
        with in_our_words():
            output = self._model(
                input_ids=tokens.to(device),
                position_ids=self._known(positions),
                attention_mask=self._masks(positions, length),
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=0 if every else 1,
            )
        logits: Tensor = output.logits
        return logits

    def _known(self, positions: Tensor) -> Tensor:
        """``positions`` as the model is told them. Where rows without a token write lies behind the last one
        that it may know: a table of positions ends there."""
        return positions.masked_fill(positions == self._cache.context, 0)

    def _masks(self, positions: Tensor, length: int) -> Tensor | dict[str, Tensor]:
        """The one mask of a model whose layers are all alike, ``[rows, 1, tokens, columns]``, or one for each
        kind of layer."""
        window = getattr(self._config, "sliding_window", None)
        if not self._by_layer:
            return self._mask(positions, length, window)
        return {
            "full_attention": self._mask(positions, length, None),
            "sliding_attention": self._mask(positions, length, window),
        }

    def _mask(self, positions: Tensor, length: int, window: int | None) -> Tensor:
        columns = torch.arange(length, device=positions.device)
        at = positions[:, None, :, None]
        seen = columns <= at
        if window:
            seen &= columns > at - window
        if self._config._attn_implementation == "eager":
            hidden = torch.finfo(self._model.dtype).min
            return torch.where(seen, 0.0, hidden).to(self._model.dtype)
        return seen
