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
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from inference.engine.cache import zeros
from inference.engine.graphs import Recorder, StepGraphs, recorder_for
from inference.engine.kernels.library import Kernels
from inference.engine.lean_layers import LeanWeights, lean_weights
from inference.engine.lean_step import KernelStep
from inference.engine.lean_torch import TorchStep
from inference.engine.linear import linear_in, linear_on
from inference.engine.promise import Changeover, Promise, Taking, takes_kernels
from inference.protocol import Quantization

logger = logging.getLogger(__name__)

FAMILIES = frozenset({"llama", "mistral", "qwen2", "qwen3"})


class LeanForward:
    """Runs the weights of ``model``, which it takes over, once ``allocate`` has made slots.

    ``later``: in ``quantization`` only once the kernels are made that it is to ``expect``.
    """

    rewinds = True
    _step: KernelStep | TorchStep

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
        self._changeover = Changeover()
        self._quantization, self.provisional = quantization, later
        self._weights = lean_weights(model, quantization, self._kernels, later=later)
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
        self._step = step = self._made_step()
        if self._recorder and isinstance(step, TorchStep):
            self._graphs = StepGraphs(
                step.span, step.decode, self._recorder, slots=slots, context=context, device=self._device
            )

    def read(
        self, slot: int, start: int, tokens: Sequence[int], *, every: bool = False, media: None = None
    ) -> Tensor:
        """Logits after the last of ``tokens``, read at ``start`` of ``slot``: ``[1, vocabulary]``; after
        ``every`` one of them: ``[tokens, vocabulary]``."""
        return self._step.read(slot, start, tokens, every=every)

    @torch.inference_mode()
    def copy(self, source: int, target: int, count: int) -> None:
        """Make the first ``count`` tokens of slot ``target`` those of slot ``source``."""
        for held in (self._keys, self._values):
            held[:, target, :, :count] = held[:, source, :, :count]

    def decode(self, slots: Sequence[int], positions: Sequence[int], tokens: Sequence[int]) -> Tensor:
        """Logits of one token for each of ``slots``: ``[rows, vocabulary]``."""
        decode = self._graphs.decode if self._graphs else self._step.decode
        return decode(slots, positions, tokens)

    def expect(self, promise: Promise) -> None:
        """Go on with the kernels of ``promise`` once they are made, where this can run on any."""
        if self._takes_kernels and not self._kernels:
            self._changeover.expect(promise)

    def prepare(self, *, idle: bool) -> bool:
        """Between two steps, make the next ones faster: True if there was something to do."""
        if self._changeover.go_on(self._quantize if self.provisional else self._take):
            return True
        return bool(self._graphs and self._graphs.prepare(idle=idle))

    def _take(self, promise: Promise) -> Taking:
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

    def _quantize(self, promise: Promise) -> Taking:
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
        self._step = self._made_step()
        return True

    def _made_step(self) -> KernelStep | TorchStep:
        """A step on what there is now, over the slots."""
        make = partial(KernelStep, self._kernels) if self._kernels else TorchStep
        return make(
            self._weights,
            self._keys,
            self._values,
            heads=self._heads,
            epsilon=self._epsilon,
            rotary=self._rotary,
        )
