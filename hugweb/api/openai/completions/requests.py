"""``POST /v1/completions``: what its body may say, and the requests that it is for us.

A prompt goes in as it is, without a chat template, so that ``think`` is checked and has no effect.
Unlike OpenAI's, an answer without ``max_tokens`` is not cut after 16 tokens: as in Ollama, it ends
where the model ends it.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from aliases.target import Target
from hugweb.api.fields import one_or_several, told
from hugweb.api.openai.capabilities import require
from hugweb.api.openai.sampling import GenerationBody, StreamOptions
from inference.errors import InvalidRequest
from inference.protocol import LARGEST, MAX_SAMPLES, MAX_TOP_LOGPROBS, Generate, TokenId

MAX_PROMPTS = 128

Prompt = str | list[TokenId]
Tokens = Annotated[list[TokenId], told(minItems=1)]


class CompletionBody(GenerationBody, kw_only=True):
    """The body. ``prompt`` is a text, token ids, or a list of either."""

    prompt: str | Annotated[list[str | TokenId | Tokens], one_or_several(MAX_PROMPTS)] | None = None
    suffix: str = ""
    max_tokens: Annotated[int, told(minimum=-2, maximum=LARGEST)] | None = None
    n: Annotated[int, Meta(ge=1, le=MAX_SAMPLES)] = 1
    best_of: Annotated[int, Meta(ge=1, le=MAX_SAMPLES)] | None = None
    logprobs: Annotated[int, Meta(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    echo: bool = False
    stream_options: StreamOptions = StreamOptions()

    @property
    def samples(self) -> int:
        """How many answers each prompt gets, of which the best ``n`` are sent."""
        return self.best_of or self.n

    def requests(self, target: Target) -> list[Generate]:
        """One request for each prompt; refused is what ``target`` cannot do."""
        self._check()
        self.thinking(target)
        if self.suffix:
            require(target, "insert", "insert", "suffix")
        return [self._request(target, prompt) for prompt in self._prompts()]

    def _request(self, target: Target, prompt: Prompt) -> Generate:
        return target.fill(
            Generate(
                model=target.model,
                prompt=prompt if isinstance(prompt, str) else "",
                context=() if isinstance(prompt, str) else tuple(prompt),
                suffix=self.suffix,
                options=self.sampling(target, "max_tokens", self.max_tokens),
                logprobs=0 if self.logprobs is None and self.samples > self.n else self.logprobs,
                echo=self.echo,
                samples=self.samples,
                truncate=False,
                keep_alive=self.seconds_to_stay(),
            )
        )

    def _check(self) -> None:
        if self.samples < self.n:
            raise InvalidRequest("best_of must be at least n.", param="best_of")
        if self.stream and self.samples > self.n:
            raise InvalidRequest(
                "The best of several answers is known only when all are there: best_of cannot be streamed.",
                param="best_of",
            )

    def _prompts(self) -> list[Prompt]:
        prompts: list[Prompt]
        prompts = [self.prompt] if isinstance(self.prompt, str) else _prompts(self.prompt or [])
        if not prompts or any(len(prompt) == 0 and not isinstance(prompt, str) for prompt in prompts):
            raise InvalidRequest("A prompt is needed.", param="prompt")
        if len(prompts) > MAX_PROMPTS:
            raise InvalidRequest(
                f"{len(prompts)} prompts are too many; at most {MAX_PROMPTS} are taken.", param="prompt"
            )
        return prompts


def _prompts(given: list[str | int | list[int]]) -> list[Prompt]:
    """``given`` as prompts: numbers on their own are one of them."""
    numbers = [one for one in given if isinstance(one, int)]
    if not numbers:
        return [one for one in given if not isinstance(one, int)]
    if len(numbers) < len(given):
        raise InvalidRequest("A prompt is text or token ids, not both.", param="prompt")
    return [numbers]
