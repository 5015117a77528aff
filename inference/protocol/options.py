"""How to generate: the options of a request, an alias or a model, and what each may be."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from inference.protocol.limits import MAX_BIASES, MAX_STOPS

LARGEST = 2**63 - 1
TokenId = Annotated[int, Meta(ge=0, le=2**31 - 1)]
# What JSON Schema makes of keys that are tokens.
TOKEN_KEYS = {"propertyNames": {"pattern": "^(?:0|[1-9][0-9]{0,8}|1[0-9]{9})$"}}
Bias = Annotated[float, Meta(ge=-100, le=100)]
Biases = Annotated[dict[TokenId, Bias], Meta(max_length=MAX_BIASES, extra_json_schema=TOKEN_KEYS)]
StopString = Annotated[str, Meta(min_length=1, max_length=256)]


class Options(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How to generate. ``None`` means: as the model's own ``generation_config`` says.

    Names and meanings are Ollama's. ``num_predict`` -1 and -2 both mean "until the model stops or
    its context is full"; ``num_ctx`` lowers the context of this request, never of the model.
    Penalties look at the last ``repeat_last_n`` tokens of prompt and answer, at all of them for -1.
    ``num_keep`` tokens of the prompt stay when the context shifts, all of its beginning for -1.
    ``logit_bias`` is added to the logits of single tokens (OpenAI's option); with ``ignore_eos`` an
    answer goes on past the model's own end (vLLM's).
    """

    num_predict: Annotated[int, Meta(ge=-2, le=LARGEST)] | None = None
    num_ctx: Annotated[int, Meta(ge=4, le=LARGEST)] | None = None
    num_keep: Annotated[int, Meta(ge=-1, le=LARGEST)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=100)] | None = None
    top_k: Annotated[int, Meta(ge=0, le=LARGEST)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    min_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    typical_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    repeat_last_n: Annotated[int, Meta(ge=-1, le=LARGEST)] | None = None
    repeat_penalty: Annotated[float, Meta(gt=0, le=100)] | None = None
    presence_penalty: Annotated[float, Meta(ge=-100, le=100)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-100, le=100)] | None = None
    logit_bias: Biases | None = None
    seed: Annotated[int, Meta(ge=-LARGEST - 1, le=LARGEST)] | None = None
    stop: Annotated[tuple[StopString, ...], Meta(max_length=MAX_STOPS)] | None = None
    ignore_eos: bool | None = None

    def over(self, base: Options) -> Options:
        """These options, with ``base`` where they say nothing."""
        merged = {
            name: getattr(base, name) if (value := getattr(self, name)) is None else value
            for name in self.__struct_fields__
        }
        return Options(**merged)
