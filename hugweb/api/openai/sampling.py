"""How to generate, as OpenAI's requests say it: their fields, vLLM's extras, and Ollama's ``options``.

Where a request says nothing, the alias and the model's own ``generation_config`` decide.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from aliases.target import Target
from hugweb.api.durations import keep_alive_seconds
from hugweb.api.fields import GivenOptions, KeepAlive, told
from hugweb.api.options import option_of, parse_options
from inference.errors import InvalidRequest, Unsupported
from inference.protocol import LARGEST, MAX_BIASES, MAX_STOPS, TOKEN_KEYS, Options, Think

# OpenAI's and vLLM's names of our options.
_FIELDS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "min_p": "min_p",
    "typical_p": "typical_p",
    "repetition_penalty": "repeat_penalty",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "logit_bias": "logit_bias",
    "seed": "seed",
    "ignore_eos": "ignore_eos",
}
_EFFORTS: dict[str, Think] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "max",
    "max": "max",
    "ultra": "max",
}

Share = Annotated[float, told(minimum=0, maximum=1)] | None
Penalty = Annotated[float, told(minimum=-100, maximum=100)] | None
StopString = Annotated[str, told(minLength=1, maxLength=256)]
Effort = Annotated[str, told(enum=list(_EFFORTS))]
LogitBias = Annotated[
    dict[int, Annotated[float, told(minimum=-100, maximum=100)]],
    told(**TOKEN_KEYS, maxProperties=MAX_BIASES),
]


class StreamOptions(Struct, frozen=True, kw_only=True):
    """``include_usage``: one more chunk at the end, with the usage."""

    include_usage: bool | None = None


class Reasoning(Struct, frozen=True, kw_only=True):
    """How hard to think, as an object; what else OpenAI has in it is ignored."""

    effort: Effort | None = None


class GenerationBody(Struct, kw_only=True):
    """What all requests for text share."""

    model: str = ""
    stream: bool = False
    temperature: Annotated[float, told(minimum=0, maximum=100)] | None = None
    top_p: Share = None
    top_k: Annotated[int, told(minimum=-1, maximum=LARGEST)] | None = None
    min_p: Share = None
    typical_p: Share = None
    repetition_penalty: Annotated[float, told(exclusiveMinimum=0, maximum=100)] | None = None
    presence_penalty: Penalty = None
    frequency_penalty: Penalty = None
    logit_bias: LogitBias | None = None
    seed: Annotated[int, told(minimum=-LARGEST - 1, maximum=LARGEST)] | None = None
    # One that is empty is none.
    stop: (
        Annotated[str, told(maxLength=256)] | Annotated[list[StopString], told(maxItems=MAX_STOPS)] | None
    ) = None
    ignore_eos: bool | None = None
    reasoning_effort: Effort | None = None
    reasoning: Reasoning = Reasoning()
    think: bool | Effort | None = None
    options: GivenOptions = {}
    keep_alive: KeepAlive = None

    def sampling(self, target: Target, limit: str, max_tokens: int | None) -> Options:
        """The request's options over those of its ``options`` object, over the alias's.

        ``limit`` is the request's name for ``max_tokens``.
        """
        given = {ours: option_of(name, ours, getattr(self, name)) for name, ours in _FIELDS.items()}
        # vLLM turns it off with -1, we with 0.
        given["top_k"] = option_of("top_k", "top_k", 0 if self.top_k == -1 else self.top_k)
        given["stop"] = option_of("stop", "stop", self._stops())
        given["num_predict"] = option_of(limit, "num_predict", max_tokens)
        return Options(**given).over(parse_options(self.options)).over(target.options)

    def thinking(self, target: Target) -> Think:
        """Whether to think; a wish for effort is dropped where the model cannot think at all."""
        wishes = {
            "reasoning_effort": self.reasoning_effort,
            "reasoning.effort": self.reasoning.effort,
            "think": self.think,
        }
        wanted = [_thinking(wish, name) for name, wish in wishes.items() if wish is not None]
        if "thinking" in target.capabilities:
            return wanted[0] if wanted else None
        if self.think:
            raise Unsupported(f'"{target.model.name}" does not support thinking', param="think")
        return None

    def seconds_to_stay(self) -> float | None:
        """``keep_alive`` in seconds."""
        return keep_alive_seconds(self.keep_alive)

    def _stops(self) -> list[str] | None:
        if isinstance(self.stop, str):
            return [self.stop] if self.stop else None
        return self.stop


def _thinking(wish: bool | str, param: str) -> Think:
    if isinstance(wish, bool):
        return wish
    try:
        return _EFFORTS[wish]
    except KeyError as error:
        allowed = ", ".join(_EFFORTS)
        raise InvalidRequest(
            f"invalid reasoning value: '{wish}' (must be one of {allowed})", param=param
        ) from error
