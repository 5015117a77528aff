"""What Ollama's native API answers, for its description: the frames of ``frames.py`` and of the views."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from inference.protocol import Quantization


class Failure(TypedDict):
    error: str


class Version(TypedDict):
    version: str
    hugweb: str


class Cloud(TypedDict):
    disabled: bool
    source: str


class CloudStatus(TypedDict):
    cloud: Cloud


class Details(TypedDict, total=False):
    parent_model: str
    format: str
    family: str
    families: list[str]
    parameter_size: str
    quantization_level: str
    context_length: int
    embedding_length: int


class ListedModel(TypedDict):
    name: str
    model: str
    size: int
    digest: str
    details: Details
    capabilities: list[str]
    modified_at: str


class ModelList(TypedDict):
    models: list[ListedModel]


class RunningModel(TypedDict):
    name: str
    model: str
    size: int
    digest: str
    details: Details
    expires_at: str
    size_vram: int
    context_length: int


class RunningList(TypedDict):
    models: list[RunningModel]


class Tensor(TypedDict):
    name: str
    type: str
    shape: list[int]


class HowItRuns(TypedDict):
    state: Literal["loading", "ready"]
    device: str
    size: int
    context_length: int
    expires_in: float
    active: int
    quantization: Quantization
    dtype: str
    stopping: bool
    manner: str
    places: int


class ShownModel(TypedDict):
    license: NotRequired[str]
    modelfile: str
    parameters: str
    template: str
    system: NotRequired[str]
    messages: NotRequired[list[dict[str, Any]]]
    details: Details
    model_info: dict[str, Any]
    tensors: NotRequired[list[Tensor]]
    capabilities: list[str]
    modified_at: str
    running: HowItRuns | None


class Status(TypedDict):
    status: str
    digest: NotRequired[str]
    total: NotRequired[int]
    completed: NotRequired[int]


class Alternative(TypedDict):
    token: str
    logprob: float | None
    bytes: list[int]


class TokenLogprob(Alternative):
    top_logprobs: NotRequired[list[Alternative]]


class Progress(TypedDict):
    state: Literal["queued", "loading", "reading"]
    position: NotRequired[int]
    seconds: NotRequired[float]
    completed: NotRequired[int]
    total: NotRequired[int]


class DebugInfo(TypedDict):
    rendered_template: str
    image_count: NotRequired[int]


class GenerationFrame(TypedDict):
    model: str
    created_at: str
    done: bool
    logprobs: NotRequired[list[TokenLogprob]]
    progress: NotRequired[Progress]
    _debug_info: NotRequired[DebugInfo]
    done_reason: NotRequired[Literal["stop", "length", "load", "unload"]]
    total_duration: NotRequired[int]
    load_duration: NotRequired[int]
    prompt_eval_count: NotRequired[int]
    prompt_eval_duration: NotRequired[int]
    eval_count: NotRequired[int]
    eval_duration: NotRequired[int]
    cached_tokens: NotRequired[int]


class AnsweredFunction(TypedDict):
    index: int
    name: str
    arguments: dict[str, Any]


class AnsweredCall(TypedDict):
    id: str
    function: AnsweredFunction


class AnsweredMessage(TypedDict):
    role: Literal["assistant"]
    content: str
    thinking: NotRequired[str]
    tool_calls: NotRequired[list[AnsweredCall]]


class ChatFrame(GenerationFrame):
    message: AnsweredMessage


class GenerateFrame(GenerationFrame):
    response: str
    thinking: NotRequired[str]
    context: NotRequired[list[int]]
    completed: NotRequired[int]
    total: NotRequired[int]
    image: NotRequired[bytes]


class Embeddings(TypedDict):
    model: str
    embeddings: list[list[float]]
    total_duration: NotRequired[int]
    load_duration: NotRequired[int]
    prompt_eval_count: NotRequired[int]


class Embedding(TypedDict):
    embedding: list[float]
