"""Grammars: what an answer may be, held to token by token.

JSON, JSON Schema and calls of tools by llguidance: before each token it says which tokens may
follow, so whatever is complete parses and validates. Its limits bound the size of a grammar and the
work of each step; how long it computes before that, a process that can be ended tries out
(``grammar_worker``). A schema that it does not take is the request's mistake.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any

import msgspec
import numpy
import torch
from llguidance import LLMatcher, LLTokenizer
from llguidance.hf import from_tokenizer
from torch import Tensor

from inference.engine.grammar_worker import Trial
from inference.engine.shape import Lark, Shape
from inference.errors import InvalidRequest
from inference.isolated import IsolatedProcesses

MOST_COMPILED = 64
# Of computing. Schemas that people write take some hundredths.
SECONDS = 2.0
TOO_LONG = "The format or a tool is a schema that takes too long to follow. Try a simpler one."
TOO_LARGE = "The answer cannot be held to its format: it is too large, or has no end. Try a simpler schema."
TRIALS = IsolatedProcesses("inference.engine.grammar_worker", most=2)


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
        """``token`` follows; ``InvalidRequest`` if it must not, or the grammar has failed."""
        if not self._matcher.consume_token(token):
            raise InvalidRequest(TOO_LARGE)


class GrammarBuilder:
    """Makes grammars for one model's tokens; compiled ones are kept for the next request, and so is what is
    wrong with one. Each may take so many ``seconds`` of computing; one that took them is tried anew the next
    time, for the machine may have stalled."""

    def __init__(
        self, tokenizer: Any, vocabulary: int, ends: frozenset[int], seconds: float = SECONDS
    ) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary
        self._ends = sorted(ends)
        self._seconds = seconds
        self._compiled = lru_cache(MOST_COMPILED)(self._compile)

    def build(self, shape: Shape) -> Grammar | None:
        """The grammar of ``shape``; ``None`` where any answer will do. ``InvalidRequest`` where none can be
        followed."""
        if not shape.format and not shape.calls:
            return None
        # For the trial without tokens that stand for themselves, of which only the model's tokenizer knows.
        compiled = self._compiled(Lark(self._control).source(shape), Lark({}).source(shape))
        if isinstance(compiled, str):
            raise InvalidRequest(compiled)
        return Grammar(compiled.deep_copy(), self._vocabulary)

    def _compile(self, source: str, tried: str) -> LLMatcher | str:
        """The compiled grammar, after one like it was ``tried``; or what is wrong with it. ``InvalidRequest``
        where the trial has not come to its end."""
        if TRIALS.ask(msgspec.msgpack.encode(Trial(tried, self._seconds))) is None:
            raise InvalidRequest(TOO_LONG)
        matcher = LLMatcher(self._tokens, LLMatcher.grammar_from_lark(source), log_level=0)
        if matcher.is_error():
            reason = matcher.get_error().partition("\n")[0].rpartition("JSON schema: ")[2][:200]
            return f"The format or a tool is not a JSON Schema that can be followed: {reason}"
        # The first step shows whether there are any.
        matcher.compute_bitmask()
        return TOO_LARGE if matcher.is_error() else matcher

    @cached_property
    def _control(self) -> dict[str, int]:
        """The tokens that llguidance never takes for text: more than are special to transformers."""
        known, added = self._tokens, self._tokenizer.added_tokens_decoder
        return {token.content: index for index, token in added.items() if known.is_special_token(index)}

    @cached_property
    def _tokens(self) -> LLTokenizer:
        """llguidance's view of the tokenizer, which takes a moment to make."""
        return from_tokenizer(self._tokenizer, n_vocab=self._vocabulary, eos_token=self._ends or None)
