"""From a request to its rows: what the model reads, and by which rules it answers.

Building reads templates, tokenizes and compiles grammars, which takes a moment: it runs in a thread of
its own. Knows nothing of the model's weights, nor of when the rows run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import msgspec
from msgspec.structs import replace
from transformers import GenerationConfig

from inference.engine.answers.style import AnswerStyle
from inference.engine.grammar import Grammar, GrammarBuilder
from inference.engine.logprobs import LogprobReport, Spelling
from inference.engine.prompts import PromptBuilder, count_kept
from inference.engine.row import Prompt, Row
from inference.engine.samples import Deliver, sampled
from inference.engine.vocabulary import text_of, tokens_of, written
from inference.errors import InvalidRequest
from inference.protocol import (
    Detokenize,
    Done,
    Generate,
    Options,
    Reason,
    Rendered,
    Text,
    Tokenize,
    Tokens,
    Usage,
)

# Ollama's defaults, for models whose generation_config does not say.
DEFAULTS = Options(
    num_predict=-1,
    temperature=0.8,
    top_k=40,
    top_p=0.9,
    min_p=0.0,
    typical_p=1.0,
    repeat_last_n=64,
    repeat_penalty=1.0,
    presence_penalty=0.0,
    frequency_penalty=0.0,
    logit_bias={},
    num_keep=4,
    ignore_eos=False,
    stop=(),
)
# What the makers of a model may recommend.
RECOMMENDED = ("temperature", "top_k", "top_p", "min_p")
# An answer that shifts ends after so many contexts, as Ollama's does.
MOST_CONTEXTS = 10
# Chat templates of one model: without tools, with them, and some more.
MOST_STYLES = 8


@dataclass(frozen=True)
class Plan:
    """A request that is ready to run: its prompt, how many tokens may follow, and its rows."""

    prompt: list[int]
    limit: int
    samples: int
    rows: Callable[[Deliver], list[Row]]

    def unanswered(self) -> Done:
        """The end of a request for no tokens at all."""
        reasons: list[Reason] = ["length"] * (self.samples if self.samples > 1 else 0)
        return Done(
            reason="length",
            reasons=tuple(reasons),
            usage=Usage(prompt=len(self.prompt)),
            context=tuple(self.prompt),
        )


class RowBuilder:
    """Builds the rows of requests to one model with contexts of up to ``context`` tokens."""

    def __init__(
        self, prompts: PromptBuilder, tokenizer: Any, generation: GenerationConfig, context: int
    ) -> None:
        vocabulary = prompts.vocabulary
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary
        self._context = context
        self._ends = _end_tokens(generation, tokenizer)
        self._defaults = _model_defaults(generation).over(DEFAULTS)
        self._prompts = prompts
        self._grammars = GrammarBuilder(tokenizer, vocabulary, self._ends)
        self._spelling = Spelling(tokenizer, vocabulary)
        self._style = lru_cache(MOST_STYLES)(partial(AnswerStyle, tokenizer))

    def plan(self, request: Generate) -> Plan:
        """How ``request`` will run; an ``InvalidRequest`` if it cannot."""
        options = request.options.over(self._defaults)
        if any(token >= self._vocabulary for token in options.logit_bias or ()):
            raise InvalidRequest(
                f"logit_bias names a token that this model lacks: its last is {self._vocabulary - 1}."
            )
        context = min(self._context, options.num_ctx or self._context)
        prompt = self._prompts.build(replace(request, options=options), context)
        rules = self._style(self._prompts.template(request)).rules(request, prompt)
        grammars = [self._grammars.build(rules.shape) for _ in range(request.samples)]
        # What is forgotten must be text: a picture cannot be read again from its tokens.
        shift = request.shift and not (isinstance(prompt, Prompt) and prompt.media)
        room = MOST_CONTEXTS * context if shift else context - len(prompt)
        limit = _limit(options.num_predict, room)
        common: dict[str, Any] = {
            "prompt": prompt,
            "options": options,
            "limit": limit,
            "ends": self._ends_of(options, grammars[0]),
            "decode": rules.decode,
            "owner": request.owner,
            "report": self._report(request),
            "echo": request.echo,
            "context": context if shift else None,
            "keep": count_kept(prompt, options.num_keep or 0, context, self._tokenizer.bos_token_id),
        }

        def make_row(sample: int, leader: Row | None, deliver: Deliver) -> Row:
            return Row(
                **common,
                sample=sample,
                leader=leader,
                deliver=deliver,
                grammar=grammars[sample],
                reader=rules.reader(),
            )

        return Plan(prompt, limit, request.samples, partial(sampled, request.samples, make_row))

    def rendered(self, request: Generate) -> Rendered:
        """What the model would read."""
        options = request.options.over(self._defaults)
        context = min(self._context, options.num_ctx or self._context)
        prompt = self._prompts.build(replace(request, options=options), context)
        return Rendered(text=written(self._tokenizer, prompt), tokens=len(prompt))

    def tokens(self, request: Tokenize) -> Tokens:
        """The tokens of a text, without those that the model puts around it."""
        return tokens_of(self._tokenizer, request)

    def text(self, request: Detokenize) -> Text:
        """The text of tokens, special ones included."""
        return text_of(self._tokenizer, self._vocabulary, request)

    def _ends_of(self, options: Options, grammar: Grammar | None) -> frozenset[int]:
        """The tokens that end an answer. One that has a grammar ends with it in any case."""
        return frozenset() if options.ignore_eos and not grammar else self._ends

    def _report(self, request: Generate) -> LogprobReport | None:
        if request.logprobs is None:
            return None
        self._spelling.prepare()
        return LogprobReport(self._spelling, request.logprobs)


def _limit(wanted: int | None, room: int) -> int:
    """Tokens to generate at most: as many as wanted, where there is room for them."""
    return room if wanted is None or wanted < 0 else min(wanted, room)


def _end_tokens(config: GenerationConfig, tokenizer: Any) -> frozenset[int]:
    """Every token that ends an answer, by the model's configuration and by its tokenizer."""
    configured = config.eos_token_id
    ends = set(configured if isinstance(configured, list) else [configured])
    ends.add(tokenizer.eos_token_id)
    return frozenset(token for token in ends if token is not None)


def _model_defaults(config: GenerationConfig) -> Options:
    """The sampling that the model's makers recommend, where they do."""
    if not config.do_sample:
        return Options()
    return Options(**{name: _fitting(name, getattr(config, name, None)) for name in RECOMMENDED})


def _fitting(name: str, value: Any) -> Any:
    """``value`` of an option, or ``None`` where it can be none: nobody has checked the file."""
    try:
        return getattr(msgspec.convert({name: value}, Options), name)
    except msgspec.ValidationError:
        return None
