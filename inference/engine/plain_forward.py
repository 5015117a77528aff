"""Forward passes for models that cannot be batched: one row, the model's own cache.

State-space and other recurrent models keep a state instead of keys and values per token, so a row
can be gone on with, but not gone back in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from inference.engine.failures import in_our_words
from inference.engine.long_rope import settle_frequencies

# What attention models, state-space models and RWKV call what they remember.
STATES = ("past_key_values", "cache_params", "state")


class PlainForward:
    """Runs ``model`` for one row of up to ``context`` tokens at a time."""

    slots = 1
    rewinds = False
    provisional = False
    bytes_per_token = 0
    manner = "one request at a time, transformers' modules"

    def __init__(self, model: Any, context: int) -> None:
        self.context = context
        self._model = model
        settle_frequencies(model, context)
        self._begin(None)

    def read(
        self, slot: int, start: int, tokens: Sequence[int], *, every: bool = False, media: Any = None
    ) -> Tensor:
        """Logits after the last of ``tokens``, which follow what was read: ``[1, vocabulary]``; after
        ``every`` one of them: ``[tokens, vocabulary]``."""
        if start == 0:
            self._begin(media)
        logits = self._run(tokens)
        return logits[0] if every else logits[:, -1]

    def copy(self, source: int, target: int, count: int) -> None:
        """Nothing: there is one slot."""

    def decode(self, slots: Sequence[int], positions: Sequence[int], tokens: Sequence[int]) -> Tensor:
        """Logits after the one token: ``[1, vocabulary]``."""
        return self._run(tokens)[:, -1]

    def prepare(self, *, idle: bool) -> bool:
        """Nothing: modules run as they are."""
        return False

    def _begin(self, media: Any) -> None:
        """Forget what was read; ``media`` is what the next prompt holds besides text."""
        self._state: dict[str, Any] = {}

    @torch.inference_mode()
    def _run(self, tokens: Sequence[int]) -> Tensor:
        ids = torch.tensor([tokens], device=self._model.device)
        with in_our_words():
            output = self._model(input_ids=ids, use_cache=True, **self._state)
        self._state = {name: output[name] for name in STATES if output.get(name) is not None}
        logits: Tensor = output.logits
        return logits
