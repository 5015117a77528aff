"""What OpenAI's API answers, for its description: the frames that its packages write.

Those of responses are in ``responses/answers.py``.
"""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict


class FailureDetail(TypedDict):
    message: str
    type: str
    param: str | None
    code: str | None


class Failure(TypedDict):
    error: FailureDetail


class Model(TypedDict):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    type: Literal["model"]
    display_name: str
    created_at: str
    lifecycle: Literal["active"]
    max_input_tokens: int | None


class ModelList(TypedDict):
    object: Literal["list"]
    data: list[Model]
    has_more: bool
    first_id: str | None
    last_id: str | None


class PromptDetails(TypedDict):
    cached_tokens: int


class CompletionDetails(TypedDict):
    reasoning_tokens: int


class Usage(TypedDict):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails


class Alternative(TypedDict):
    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(Alternative):
    top_logprobs: list[Alternative]


class Logprobs(TypedDict):
    content: list[TokenLogprob]
    refusal: None


class AnsweredFunction(TypedDict):
    name: str
    arguments: str


class AnsweredCall(TypedDict):
    id: str
    type: Literal["function"]
    function: AnsweredFunction


class CallDelta(AnsweredCall):
    index: int


class AnsweredMessage(TypedDict):
    role: Literal["assistant"]
    content: str | None
    refusal: None
    reasoning_content: NotRequired[str]
    reasoning: NotRequired[str]
    tool_calls: NotRequired[list[AnsweredCall]]
    function_call: NotRequired[AnsweredFunction]


Finish = Literal["stop", "length", "tool_calls", "function_call"]


class ChatChoice(TypedDict):
    index: int
    message: AnsweredMessage
    logprobs: Logprobs | None
    finish_reason: Finish


class ChatCompletion(TypedDict):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: Usage


class MessageDelta(TypedDict, total=False):
    role: Literal["assistant"]
    content: str
    reasoning_content: str
    reasoning: str
    tool_calls: list[CallDelta]
    function_call: AnsweredFunction


class ChunkChoice(TypedDict):
    index: int
    delta: MessageDelta
    logprobs: Logprobs | None
    finish_reason: Finish | None


class ChatChunk(TypedDict):
    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChunkChoice]
    usage: NotRequired[Usage | None]


class LegacyLogprobs(TypedDict):
    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class CompletionChoice(TypedDict):
    index: int
    text: str
    logprobs: LegacyLogprobs | None
    finish_reason: Finish | None


class Completion(TypedDict):
    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompletionChoice]
    usage: NotRequired[Usage | None]


class TextUsage(TypedDict):
    prompt_tokens: int
    total_tokens: int


class Embedding(TypedDict):
    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingList(TypedDict):
    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: TextUsage


class Picture(TypedDict):
    b64_json: NotRequired[bytes]
    url: NotRequired[str]
    seed: int


class Pictures(TypedDict):
    created: int
    data: list[Picture]
    output_format: Literal["png"]
    size: str


class PictureTokens(TypedDict):
    image_tokens: int
    text_tokens: int


class PictureUsage(TypedDict):
    input_tokens: int
    input_tokens_details: PictureTokens
    output_tokens: int
    total_tokens: int


class PictureEvent(TypedDict):
    type: Literal["image_generation.completed", "image_edit.completed"]
    b64_json: bytes
    seed: int
    created_at: int
    background: Literal["opaque"]
    output_format: Literal["png"]
    quality: Literal["auto"]
    size: str
    usage: PictureUsage


class HeardUsage(TypedDict):
    type: Literal["duration"]
    seconds: int


class HeardSegment(TypedDict):
    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: list[int]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float


class HeardEvent(TypedDict):
    type: Literal["transcript.text.delta", "transcript.text.done"]
    delta: NotRequired[str]
    text: NotRequired[str]


class Transcription(TypedDict):
    """What verbose_json adds to json, only speech models tell."""

    text: str
    usage: NotRequired[HeardUsage]
    task: NotRequired[Literal["transcribe", "translate"]]
    language: NotRequired[str]
    duration: NotRequired[float]
    segments: NotRequired[list[HeardSegment]]
