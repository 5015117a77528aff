"""How likely a model held the tokens of a text: what is reported of each.

Logprobs are those of the model's own logits, before penalties, biases, formats and temperature, as
vLLM reports them by default (``raw_logprobs``) and llama.cpp before its samplers: they say what the
model thinks, not what was asked of it. Pure Python; the numbers come from the sampler.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

from llguidance import LLTokenizer
from llguidance.hf import from_tokenizer

from inference.errors import Unsupported
from inference.protocol import Logprob


class Score(NamedTuple):
    """A token's logprob, and the likeliest tokens at its place with theirs, falling."""

    logprob: float
    top: list[tuple[int, float]]


class LogprobReport:
    """Reports tokens with their ``count`` likeliest alternatives; ``spell`` gives a token's bytes."""

    def __init__(self, spell: Callable[[int], bytes], count: int) -> None:
        self._spell = spell
        self.count = count

    def of(self, token: int, score: Score | None) -> Logprob:
        """``token``, for the wire; without a ``score`` where nothing stands before it."""
        if score is None:
            return self._one(token, None)
        top = tuple(self._one(other, logprob) for other, logprob in score.top)
        return self._one(token, score.logprob, top)

    def _one(self, token: int, logprob: float | None, top: tuple[Logprob, ...] = ()) -> Logprob:
        raw = self._spell(token)
        # The text of a token that is a part of a character is not its own: its bytes are.
        return Logprob(token=token, text=raw.decode(errors="replace"), raw=raw, logprob=logprob, top=top)


class Spelling:
    """The bytes of each of a tokenizer's tokens, also of those that are parts of characters."""

    def __init__(self, tokenizer: Any, vocabulary: int) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary

    def prepare(self) -> None:
        """Do what takes a moment; ``Unsupported`` for a tokenizer that does not tell its bytes."""
        try:
            self._tokens  # noqa: B018 - made at its first use
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise Unsupported("This model's tokenizer cannot report logprobs.") from error

    def __call__(self, token: int) -> bytes:
        return self._tokens.decode_bytes([token])

    @cached_property
    def _tokens(self) -> LLTokenizer:
        """llguidance's view of the tokenizer, which takes a moment to make."""
        return from_tokenizer(self._tokenizer, n_vocab=self._vocabulary)
