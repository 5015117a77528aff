"""Forward passes for models that see and cannot be batched: one row, by the steps of transformers'
``generate``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from inference.engine.failures import in_our_words
from inference.engine.plain_forward import PlainForward


class PlainMedia:
    """A prompt that is read in one go: ``inputs`` as the processor made them."""

    def __init__(self, inputs: Mapping[str, Any]) -> None:
        self.inputs = inputs
        self.keys: list[int] = inputs["input_ids"][0].tolist()

    def cut_after(self, place: int) -> int:
        """The end: nothing may be cut."""
        return len(self.keys)

    def cut_before(self, place: int) -> int:
        """The beginning."""
        return 0


class PlainVisionForward(PlainForward):
    """Runs ``model`` for one row of up to ``context`` tokens at a time."""

    def _begin(self, media: PlainMedia | None) -> None:
        inputs = media.inputs if media else {}
        given = {name: value for name, value in inputs.items() if name not in ("input_ids", "labels")}
        self._state = {**given, "use_cache": True}
        self._seen = torch.zeros(1, 0, dtype=torch.long, device=self._model.device)

    @torch.inference_mode()
    def _run(self, tokens: Sequence[int]) -> Tensor:
        first = not self._seen.shape[1]
        new = torch.tensor([tokens], device=self._model.device)
        self._seen = torch.cat((self._seen, new), dim=1)
        self._state["attention_mask"] = torch.ones_like(self._seen)
        if first and "position_ids" in inspect.signature(self._model.forward).parameters:
            self._state["position_ids"] = self._model._prepare_position_ids_for_generation(
                self._seen, self._state
            )
        with in_our_words():
            inputs = self._model.prepare_inputs_for_generation(
                self._seen, is_first_iteration=first, next_sequence_length=new.shape[1], **self._state
            )
            output = self._model(**inputs)
        self._state = self._model._update_model_kwargs_for_generation(output, self._state)
        logits: Tensor = output.logits
        return logits
