"""A lean forward pass for the models that are built like Llama.

Llama, Mistral, Qwen 2 and 3 and their like share one shape: root-mean-square norms, rotary
positions, grouped attention, a gated feed-forward. Written out here with query, key and value as
one multiplication, gate and up likewise, weights in the processor's layout and nothing between
them, it takes about half the time of transformers' modules in decoding. It is chosen only where
its logits are those of the modules: see ``inference.engine.choice``.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from inference.engine.cache import zeros
from inference.engine.failures import in_our_words
from inference.engine.graphs import Recorder, StepGraphs, recorder_for
from inference.engine.kernels.library import Kernels
from inference.engine.kernels.making import KernelsInTheMaking
from inference.engine.lean_attention import Where, grouped_attention, turned, visible, written
from inference.engine.lean_layers import Layer, LeanWeights, lean_weights
from inference.engine.lean_step import KernelStep
from inference.engine.linear import linear_in, linear_on
from inference.protocol import Quantization

logger = logging.getLogger(__name__)

FAMILIES = frozenset({"llama", "mistral", "qwen2", "qwen3"})
# Columns are looked at in multiples of this, so that few shapes occur.
COLUMNS = 64


@dataclass(frozen=True)
class Promise:
    """Kernels that are being made, and whether a forward pass on them is right."""

    making: KernelsInTheMaking
    fits: Callable[[LeanForward], bool]


def takes_kernels(model: Any) -> bool:
    """Whether the kernels can run ``model``."""
    return bool(model.device.type == "cpu" and model.dtype is torch.bfloat16)


class LeanForward:
    """Runs the weights of ``model``, which it takes over, once ``allocate`` has made slots.

    ``later``: in ``quantization`` only once the kernels are made that it is to ``expect``.
    """

    rewinds = True

    def __init__(
        self,
        model: Any,
        quantization: Quantization = "none",
        kernels: Kernels | None = None,
        recorder: Recorder | None = None,
        *,
        later: bool = False,
    ) -> None:
        config = model.config
        self._device = model.device
        self._heads = config.num_attention_heads
        self._key_heads = config.num_key_value_heads
        self._size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self._epsilon = config.rms_norm_eps
        self._rotary = model.model.rotary_emb
        self._dtype = model.dtype
        self._takes_kernels = takes_kernels(model)
        self._kernels = kernels if self._takes_kernels else None
        self._promise: Promise | None = None
        self._taking: Iterator[bool] = iter(())
        self._quantization, self.provisional = quantization, later
        self._weights = lean_weights(model, quantization, self._kernels, later=later)
        self._step: KernelStep | None = None
        self._recorder = recorder or recorder_for(model.device)
        self._graphs: StepGraphs | None = None

    @property
    def manner(self) -> str:
        """How this runs a model, for people to read."""
        if self._graphs:
            return f"batched, lean pass, {self._graphs.manner}"
        if self.provisional:
            return "batched, lean pass, still to be quantized"
        return "batched, lean pass" + (" on compiled kernels" if self._kernels else "")

    @property
    def bytes_per_token(self) -> int:
        """Memory that a token of one slot takes."""
        return 2 * len(self._weights.layers) * self._key_heads * self._size * self._dtype.itemsize

    def allocate(self, slots: int, context: int) -> None:
        """Make ``slots`` empty slots of ``context`` tokens."""
        self.slots, self.context = slots, context
        # The last column is where rows without a token of their own may write.
        shape = (len(self._weights.layers), slots, self._key_heads, context + 1, self._size)
        self._keys = zeros(shape, self._dtype, self._device)
        self._values = zeros(shape, self._dtype, self._device)
        if self._kernels:
            self._step = self._kernel_step(self._kernels)
        elif self._recorder:
            self._graphs = StepGraphs(
                self._stepped, self._decode, self._recorder, slots=slots, context=context, device=self._device
            )

    def read(
        self, slot: int, start: int, tokens: Sequence[int], *, every: bool = False, media: None = None
    ) -> Tensor:
        """Logits after the last of ``tokens``, read at ``start`` of ``slot``: ``[1, vocabulary]``; after
        ``every`` one of them: ``[tokens, vocabulary]``."""
        if self._step:
            with in_our_words():
                return self._step.read(slot, start, tokens, every=every)
        positions = torch.arange(start, start + len(tokens), device=self._device)[None]
        end = start + len(tokens)
        hidden = self._run(slice(slot, slot + 1), positions, torch.tensor([tokens]), end, slice(start, end))
        return self._logits(hidden[0] if every else hidden[:, -1])

    @torch.inference_mode()
    def copy(self, source: int, target: int, count: int) -> None:
        """Make the first ``count`` tokens of slot ``target`` those of slot ``source``."""
        for held in (self._keys, self._values):
            held[:, target, :, :count] = held[:, source, :, :count]

    def decode(self, slots: Sequence[int], positions: Sequence[int], tokens: Sequence[int]) -> Tensor:
        """Logits of one token for each of ``slots``: ``[rows, vocabulary]``."""
        if self._step:
            with in_our_words():
                return self._step.decode(slots, positions, tokens)
        decode = self._graphs.decode if self._graphs else self._decode
        return decode(slots, positions, tokens)

    def expect(self, promise: Promise) -> None:
        """Go on with the kernels of ``promise`` once they are made, where this can run on any."""
        if self._takes_kernels and not self._kernels:
            self._promise = promise

    def prepare(self, *, idle: bool) -> bool:
        """Between two steps, make the next ones faster: True if there was something to do."""
        if self._promise and not self._promise.making.pending:
            take = self._quantize if self.provisional else self._take
            self._taking, self._promise = take(self._promise), None
        return next(self._taking, False) or bool(self._graphs and self._graphs.prepare(idle=idle))

    def _take(self, promise: Promise) -> Iterator[bool]:
        """Run on the kernels of ``promise`` from here, if they do right.

        True after each thing done: what is being answered waits for one at a time, and at no time are there
        all weights twice.
        """
        kernels = promise.making.made
        if kernels is None:
            return
        head = linear_on(kernels, self._weights.head, wide=True)
        if not self._became(kernels, replace(self._weights, head=head), promise):
            logger.warning("The kernels do not fit this model: it goes on without them.")
            return
        yield True
        for index, layer in enumerate(self._weights.layers):
            self._weights.layers[index] = layer.by(partial(linear_on, kernels))
            yield True

    def _quantize(self, promise: Promise) -> Iterator[bool]:
        """Run on weights in fewer bits from here, and on the kernels of ``promise`` if there are any.

        True after each layer. All are made beside those in use, which lie in their file as a rule: only
        together can it be told whether the model bears it.
        """
        kernels = promise.making.made
        fewer = partial(linear_in, self._quantization, kernels)
        layers = []
        for layer in self._weights.layers:
            layers.append(layer.by(fewer))
            yield True
        weights = replace(self._weights, layers=layers, head=fewer(self._weights.head, wide=True))
        if not self._became(kernels, weights, promise):
            logger.warning("This model does not bear %s: it goes on as it is.", self._quantization)
        yield True

    def _became(self, kernels: Kernels | None, weights: LeanWeights, promise: Promise) -> bool:
        """Run on ``kernels`` and ``weights`` from here, if a twin with slots of its own does right."""
        twin = copy.copy(self)
        twin._kernels, twin._weights, twin.provisional = kernels, weights, False
        if not promise.fits(twin):
            return False
        self._kernels, self._weights, self.provisional = kernels, weights, False
        self._step = self._kernel_step(kernels) if kernels else None
        return True

    def _kernel_step(self, kernels: Kernels) -> KernelStep:
        return KernelStep(
            kernels,
            self._weights,
            self._keys,
            self._values,
            heads=self._heads,
            epsilon=self._epsilon,
            rotary=self._rotary,
        )

    def _decode(self, slots: Sequence[int], positions: Sequence[int], tokens: Sequence[int]) -> Tensor:
        """The same by torch's operations, one after the other."""
        first, last = slots[0], slots[-1]
        rows = torch.tensor(slots) - first
        # Slots within the span that have nothing to say write where nobody looks.
        at = torch.full((last - first + 1, 1), self.context)
        said = torch.zeros_like(at)
        at[rows, 0] = torch.tensor(positions)
        said[rows, 0] = torch.tensor(tokens)
        # Of a single row the place is known here, where nobody has to wait for the device to tell.
        placed, end = at.to(self._device), max(positions) + 1
        where = slice(end - 1, end) if first == last else placed[:, 0]
        picked = rows.to(self._device)  # before the pass: a copy would wait for it
        hidden = self._run(slice(first, last + 1), placed, said, end, where)[:, -1]
        return self._logits(hidden if len(slots) == len(at) else hidden[picked])

    def _stepped(self, span: slice, positions: Tensor, tokens: Tensor, seen: int) -> Tensor:
        """Logits of one token for each slot of ``span``: ``[rows, vocabulary]``."""
        return self._logits(self._run(span, positions, tokens, seen, positions[:, 0])[:, -1])

    @torch.inference_mode()
    def _run(self, span: slice, positions: Tensor, tokens: Tensor, seen: int, where: Where) -> Tensor:
        """One pass over ``span``, ``positions`` and ``tokens`` ``[rows, tokens]``, which go to the columns
        ``where``: what the last layer makes of each, ``[rows, tokens, width]``."""
        length = min(-(-seen // COLUMNS) * COLUMNS, self.context)
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
