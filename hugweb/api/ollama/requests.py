"""Ollama's requests: what their JSON may say, checked, and turned into ours.

As in Ollama, null and the empty string mean "not given", unknown fields and options are ignored,
and the request's content type does not matter. Unlike Ollama, a wrong type is a 400.
Source: Ollama's ``api/types.go`` as of v0.33.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta, Struct, ValidationError, field
from msgspec.structs import replace

from aliases.target import Target
from hugweb.api.body import Body
from hugweb.api.body import parse as body_parse
from hugweb.api.durations import keep_alive_seconds
from hugweb.api.fields import (
    GivenChoice,
    GivenOptions,
    GivenTemplate,
    ImageOrSound,
    KeepAlive,
    TopLogprobs,
    rule,
    told,
)
from hugweb.api.media import media_sort
from hugweb.api.ollama.messages import ChatMessage, DescribedTool, messages_ours, tools_ours
from hugweb.api.options import parse_options
from hugweb.api.preface import prefaced
from hugweb.api.schema import schema_text
from hugweb.api.tool_choice import choose_tools
from inference.errors import InvalidRequest
from inference.protocol import (
    JSON,
    MAX_IMAGES,
    MAX_MESSAGES,
    MAX_STEPS,
    MAX_TOOLS,
    MAX_TOP_LOGPROBS,
    Draw,
    Generate,
    Message,
    Think,
    TokenId,
)

NOTHING = {"enum": ["", None]}
LARGEST_PICTURE = 4096
THINK_LEVELS = ("high", "medium", "low", "max")

Format = Annotated[Any, told(anyOf=[{"const": JSON}, {"const": ""}, {"type": "object"}, {"type": "null"}])]
Pixels = Annotated[int, Meta(ge=0), told(maximum=LARGEST_PICTURE)]


class KeptBody(Struct, kw_only=True):
    """What every request says that a model is loaded for. As in Go, what no type tells is checked here
    before anything else is: ``InvalidRequest``."""

    model: str = ""
    keep_alive: KeepAlive = None
    options: GivenOptions = {}

    def __post_init__(self) -> None:
        keep_alive_seconds(self.keep_alive)


class GenerationBody(KeptBody, kw_only=True):
    """What chat and generate share. ``progress`` is ours: a stream then tells what is being waited for."""

    stream: bool = True
    format: Format = None
    think: bool | Annotated[str, told(enum=THINK_LEVELS)] | None = None
    template: GivenTemplate = ""
    logprobs: bool = False
    top_logprobs: TopLogprobs = 0
    truncate: bool = True
    shift: bool = True
    progress: bool = False
    debug: bool = field(name="_debug_render_only", default=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.think, str) and self.think not in THINK_LEVELS:
            raise InvalidRequest(
                f'invalid think value: "{self.think}"'
                ' (must be "high", "medium", "low", "max", true, or false)'
            )
        if not 0 <= self.top_logprobs <= MAX_TOP_LOGPROBS:
            raise InvalidRequest(f"top_logprobs must be between 0 and {MAX_TOP_LOGPROBS}")


class ChatBody(GenerationBody, kw_only=True):
    """``POST /api/chat``. ``tool_choice`` is OpenAI's."""

    longest: ClassVar = {"messages": (MAX_MESSAGES, "messages"), "tools": (MAX_TOOLS, "tools")}

    messages: Annotated[list[ChatMessage], told(maxItems=MAX_MESSAGES)] = []
    tools: Annotated[list[DescribedTool], told(maxItems=MAX_TOOLS)] = []
    tool_choice: GivenChoice = None


NO_ITEMS: dict[str, Any] = {"enum": [[], None, ""]}
RAW = rule(
    {"raw": {"const": True}},
    {"properties": {"template": NOTHING, "system": NOTHING, "context": NO_ITEMS, "images": NO_ITEMS}},
)
FILLED_IN = rule({"suffix": {"type": "string", "minLength": 1}}, {"properties": {"images": NO_ITEMS}})


class GenerateBody(GenerationBody, kw_only=True):
    """``POST /api/generate``."""

    prompt: str = ""
    suffix: str = ""
    system: str = ""
    context: list[TokenId] = []
    raw: bool = False
    images: Annotated[list[ImageOrSound], told(maxItems=MAX_IMAGES)] = []
    width: Pixels = 0
    height: Pixels = 0
    steps: Annotated[int, Meta(ge=0, le=MAX_STEPS)] = 0
    negative_prompt: str = ""


def parse(body: bytes, kind: type[Body]) -> Body:
    """``body`` as a ``kind``; null and the empty string are not given."""
    return body_parse(body, kind, absent=(None, ""))


def parse_format(given: Any) -> str:
    """What the answer is to be: ``json``, the text of a JSON Schema, or empty."""
    if given in (None, ""):
        return ""
    if given == JSON:
        return JSON
    if not isinstance(given, dict):
        shown = msgspec.json.encode(given).decode()[:80]
        raise InvalidRequest(f'invalid format: {shown}; expected "json" or a valid JSON Schema object')
    return schema_text(given)


def chat_request(body: ChatBody, target: Target) -> Generate:
    """What ``body`` asks of ``target``."""
    chosen = choose_tools(tools_ours(body.tools), body.tool_choice)
    tools = {"tools": chosen.tools, "tool_choice": chosen.choice, "tool_name": chosen.name}
    messages = prefaced(messages_ours(body.messages), target)
    return replace(_generation(body, target, **tools), messages=messages)


def generate_request(body: GenerateBody, target: Target) -> Generate:
    """What ``body`` asks of ``target``: its prompt as it is (``raw``, ``suffix``) or as a message."""
    check_size(body)
    request = replace(_generation(body, target), context=tuple(body.context))
    if body.raw or body.suffix:
        return replace(request, prompt=body.prompt, suffix=body.suffix)
    media = media_sort(body.images)
    question = Message(role="user", content=body.prompt, images=media.images, audios=media.audios)
    if body.context:
        target = dataclasses.replace(target, messages=())
    return replace(request, messages=prefaced((question,), target, body.system))


def check_raw(body: GenerateBody) -> None:
    """Raise ``InvalidRequest`` for a prompt that is to be taken as it is and to be put into something."""
    if body.raw and (body.template or body.system or body.context):
        raise InvalidRequest("raw mode does not support template, system, or context")
    if body.images and (body.raw or body.suffix):
        raise InvalidRequest(
            "images go with a prompt that the model's template has a place for: not raw or suffix"
        )


def check_size(body: GenerateBody) -> None:
    """Raise ``InvalidRequest`` for a picture that nobody draws."""
    if max(body.width, body.height) > LARGEST_PICTURE:
        raise InvalidRequest(f"width and height must be <= {LARGEST_PICTURE}")


def draw_request(body: GenerateBody, target: Target) -> Draw:
    """The picture that ``body`` asks of ``target``, an image model."""
    check_size(body)
    wanted = {
        "model": target.model,
        "prompt": body.prompt,
        "negative_prompt": body.negative_prompt,
        "width": body.width,
        "height": body.height,
        "steps": body.steps,
        "seed": parse_options(body.options).seed,
        "keep_alive": keep_alive_seconds(body.keep_alive),
    }
    try:
        request = msgspec.convert(wanted, Draw)
    except ValidationError as error:
        raise InvalidRequest(f"invalid request: {error}") from error
    return replace(request, images=media_sort(body.images).images)


def _generation(body: GenerationBody, target: Target, **tools: Any) -> Generate:
    """What chat and generate have in common; ``tools`` are those of a chat, which an alias's format heeds."""
    return target.fill(
        Generate(
            model=target.model,
            options=parse_options(body.options),
            think=_think(body.think, target),
            template=body.template,
            format=parse_format(body.format),
            logprobs=body.top_logprobs if body.logprobs else None,
            truncate=body.truncate,
            shift=body.shift,
            render_only=body.debug,
            keep_alive=keep_alive_seconds(body.keep_alive),
            **tools,
        )
    )


def _think(given: bool | str | None, target: Target) -> Think:
    """Thinking models think unless they are told not to."""
    if "thinking" not in target.capabilities:
        return None
    return True if given is None else msgspec.convert(given, Think)
