"""Grammars: what an answer may be, held to token by token.

JSON and JSON Schema by llguidance: before each token it says which tokens may follow, so whatever
is complete parses and validates. Its limits bound the work of a schema and of each step; a schema
that it does not take is the request's mistake.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import numpy
import torch
from llguidance import LLMatcher, LLTokenizer
from llguidance.hf import from_tokenizer
from torch import Tensor

from inference.errors import InferenceError, InvalidRequest
from inference.protocol import JSON

ANY_OBJECT = '{"type": "object"}'
# Some whitespace, as models write it, but never so much that an answer is nothing else.
WHITESPACE = r"[ \n]{0,16}"
MOST_COMPILED = 64

# Keywords that say what other properties there may be, and those that hold schemas.
OPEN = {"additionalProperties", "patternProperties", "unevaluatedProperties"}
SCHEMAS = {"items", "additionalProperties"}
LISTS_OF_SCHEMAS = {"anyOf", "oneOf", "prefixItems"}
MAPS_OF_SCHEMAS = {"properties", "$defs", "definitions"}


def closed(schema: Any) -> Any:
    """``schema`` with objects that list their properties having no others, unless it says so.

    JSON Schema lets anything else in, which a small model takes as leave to go on for ever; people
    mean what they list, and llama.cpp reads schemas so too. Parts of an ``allOf`` stay open, since
    each of them is to let the other's properties in.
    """
    if not isinstance(schema, dict) or "allOf" in schema:
        return schema
    result = {name: _closed_part(name, part) for name, part in schema.items()}
    if "properties" in result and not OPEN & result.keys():
        result["additionalProperties"] = False
    return result


def _closed_part(name: str, part: Any) -> Any:
    if name in SCHEMAS:
        return closed(part)
    if name in LISTS_OF_SCHEMAS and isinstance(part, list):
        return [closed(one) for one in part]
    if name in MAPS_OF_SCHEMAS and isinstance(part, dict):
        return {key: closed(one) for key, one in part.items()}
    return part


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
    """Makes grammars for one model's tokens; compiled schemas are kept for the next request."""

    def __init__(self, tokenizer: Any, vocabulary: int, ends: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary
        self._ends = sorted(ends)
        self._known: LLTokenizer | None = None
        self._compiled = lru_cache(MOST_COMPILED)(self._compile)

    def build(self, wanted: str) -> Grammar | None:
        """The grammar of ``wanted``, ``json`` or a JSON Schema; ``None`` where nothing is wanted."""
        if not wanted:
            return None
        schema = ANY_OBJECT if wanted == JSON else wanted
        return Grammar(self._compiled(schema).deep_copy(), self._vocabulary)

    def _compile(self, schema: str) -> LLMatcher:
        try:
            grammar = LLMatcher.grammar_from_json_schema(
                json.dumps(closed(json.loads(schema))), overrides={"whitespace_pattern": WHITESPACE}
            )
        except ValueError as error:
            raise InvalidRequest("The format is not a JSON Schema object.") from error
        matcher = LLMatcher(self._tokens(), grammar, log_level=0)
        if matcher.is_error():
            reason = matcher.get_error().partition("\n")[0][:200]
            raise InvalidRequest(f"The format is not a JSON Schema that can be followed: {reason}")
        return matcher

    def _tokens(self) -> LLTokenizer:
        """llguidance's view of the tokenizer, which takes a moment to make."""
        if self._known is None:
            self._known = from_tokenizer(
                self._tokenizer, n_vocab=self._vocabulary, eos_token=self._ends or None
            )
        return self._known
