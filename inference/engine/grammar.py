"""Grammars: what an answer may be, held to token by token.

JSON, JSON Schema and calls of tools by llguidance: before each token it says which tokens may
follow, so whatever is complete parses and validates. Its limits bound the work of a schema and of
each step; a schema that it does not take is the request's mistake.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any

import numpy
import torch
from llguidance import LLMatcher, LLTokenizer
from llguidance.hf import from_tokenizer
from torch import Tensor

from inference.engine.shape import Lark, Shape
from inference.errors import InferenceError, InvalidRequest

MOST_COMPILED = 64


class Grammar:
    """How far one answer has come, and what may follow."""

    def __init__(self, matcher: LLMatcher, vocabulary: int) -> None:
        self._matcher = matcher
        self._vocabulary = vocabulary

    def allowed(self) -> Tensor:
        """Which tokens may follow: booleans, ``[vocabulary]``.

        Any, once the grammar has failed: ``accept`` says so, to the one row that it concerns.
        """
        bits = numpy.frombuffer(self._matcher.compute_bitmask(), dtype=numpy.uint8)
        if self._matcher.is_error():
            return torch.ones(self._vocabulary, dtype=torch.bool)
        return torch.from_numpy(numpy.unpackbits(bits, bitorder="little")[: self._vocabulary]).bool()

    def accept(self, token: int) -> None:
        """``token`` follows; ``InferenceError`` if it must not, or the grammar has failed."""
        if not self._matcher.consume_token(token):
            raise InferenceError("The answer could not be held to its format. Try a simpler schema.")


class GrammarBuilder:
    """Makes grammars for one model's tokens; compiled ones are kept for the next request."""

    def __init__(self, tokenizer: Any, vocabulary: int, ends: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary
        self._ends = sorted(ends)
        self._compiled = lru_cache(MOST_COMPILED)(self._compile)

    def build(self, shape: Shape) -> Grammar | None:
        """The grammar of ``shape``; ``None`` where any answer will do."""
        if not shape.format and not shape.calls:
            return None
        return Grammar(self._compiled(Lark(self._control).source(shape)).deep_copy(), self._vocabulary)

    def _compile(self, source: str) -> LLMatcher:
        matcher = LLMatcher(self._tokens, LLMatcher.grammar_from_lark(source), log_level=0)
        if matcher.is_error():
            reason = matcher.get_error().partition("\n")[0].rpartition("JSON schema: ")[2][:200]
            raise InvalidRequest(f"The format or a tool is not a JSON Schema that can be followed: {reason}")
        return matcher

    @cached_property
    def _control(self) -> dict[str, int]:
        """The tokens that llguidance never takes for text: more than are special to transformers."""
        known, added = self._tokens, self._tokenizer.added_tokens_decoder
        return {token.content: index for index, token in added.items() if known.is_special_token(index)}

    @cached_property
    def _tokens(self) -> LLTokenizer:
        """llguidance's view of the tokenizer, which takes a moment to make."""
        return from_tokenizer(self._tokenizer, n_vocab=self._vocabulary, eos_token=self._ends or None)
