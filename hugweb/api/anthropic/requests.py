"""Anthropic's requests: what their JSON may say, checked, and turned into ours.

What says nothing of the answer (``metadata``, ``cache_control``, ``service_tier``, …) is ignored. Source:
Anthropic's reference of the Messages API and the types of their Python client, 2.12, its beta included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Struct, ValidationError

from aliases.target import Target
from hugweb.api.anthropic.blocks import DescribedMessage, System, messages_ours, text_of
from hugweb.api.durations import keep_alive_seconds
from hugweb.api.fields import GivenOptions, KeepAlive, rule, told
from hugweb.api.options import option_of, parse_options
from hugweb.api.preface import prefaced
from hugweb.api.schema import schema_text
from inference.errors import InvalidRequest, Unsupported
from inference.protocol import (
    LARGEST,
    MAX_MESSAGES,
    MAX_STOPS,
    MAX_TOOLS,
    Generate,
    Message,
    Options,
    Think,
    Tool,
    ToolChoice,
)

_CHOICES: dict[str, ToolChoice] = {"auto": "auto", "any": "required", "tool": "required", "none": "none"}
_EFFORTS: dict[str, Think] = {"low": "low", "medium": "medium", "high": "high", "xhigh": "max", "max": "max"}

THINKING = ("enabled", "adaptive", "between_tools", "disabled")
# What would run or be kept at Anthropic's, by what to do instead.
_ELSEWHERE = {
    "container": "There are no containers here.",
    "mcp_servers": "No other servers are asked from here: offer their tools as the client's own.",
    "compaction": "Messages are not summarized here: ask for a summary.",
}


class NoThreads(Unsupported):
    """Nothing of messages is kept here, so that a request could leave out those that were sent before."""

    code = "no_threads"


Refused = Annotated[Any, told(type="null")]
StopString = Annotated[str, told(minLength=1, maxLength=256)]


class GivenTool(Struct, kw_only=True):
    """A tool of the client's; tools that run at Anthropic's are named by another ``type``."""

    name: str = ""
    type: Annotated[str, told(enum=["custom"])] | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None


_NAMED = {"required": ["name"], "properties": {"name": {"minLength": 1, "maxLength": 256}}}
DescribedTool = Annotated[GivenTool, told(**_NAMED)]
TOOLS_TO_CHOOSE = rule(
    {
        "tool_choice": {
            "properties": {"type": {"enum": ["any", "tool"]}},
            "required": ["type"],
            "type": "object",
        }
    },
    {"required": ["tools"], "properties": {"tools": {"type": "array", "minItems": 1}}},
)


class GivenChoice(Struct, kw_only=True):
    """Which tools the model may or must call."""

    type: Annotated[str, told(enum=list(_CHOICES))]
    name: str = ""
    disable_parallel_tool_use: bool = False


class Thinking(Struct, kw_only=True):
    """Whether the model thinks, and whether the answer says what. A budget is not kept apart from
    ``max_tokens``."""

    type: Annotated[str, told(enum=THINKING)]
    display: Literal["summarized", "omitted"] | None = None


class Format(Struct, kw_only=True):
    """What the answer has to be."""

    type: Annotated[str, told(enum=["json_schema"])]
    schema: dict[str, Any] = {}


class OutputConfig(Struct, kw_only=True):
    """How hard to think, and what the answer has to be."""

    effort: Annotated[str, told(enum=list(_EFFORTS))] | None = None
    format: Format | None = None


class MessagesBody(Struct, kw_only=True):
    """``POST /v1/messages``; ``options`` and ``keep_alive`` are Ollama's.

    ``output_format`` is what ``output_config.format`` was called before. The last four are refused by name.
    """

    longest: ClassVar = {"messages": (MAX_MESSAGES, "messages"), "tools": (MAX_TOOLS, "tools")}

    model: str = ""
    messages: Annotated[list[DescribedMessage], told(maxItems=MAX_MESSAGES)] = []
    max_tokens: Annotated[int, told(minimum=0, maximum=LARGEST)] | None = None
    system: System = ""
    stream: bool = False
    temperature: Annotated[float, told(minimum=0, maximum=100)] | None = None
    top_p: Annotated[float, told(minimum=0, maximum=1)] | None = None
    top_k: Annotated[int, told(minimum=0)] | None = None
    stop_sequences: Annotated[list[StopString], told(maxItems=MAX_STOPS)] = []
    tools: Annotated[list[DescribedTool], told(maxItems=MAX_TOOLS)] = []
    tool_choice: GivenChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: Format | None = None
    options: GivenOptions = {}
    keep_alive: KeepAlive = None
    container: Refused = None
    mcp_servers: Annotated[list[Any], told(maxItems=0)] = []
    thread: Refused = None
    compaction: Refused = None

    @property
    def hides_thoughts(self) -> bool:
        """Whether the answer tells that the model thought, but not what."""
        return self.thinking is not None and self.thinking.display == "omitted"


def messages_request(body: MessagesBody, target: Target) -> Generate:
    """What ``body`` asks of ``target``. A prompt that is too long is an error, as it is at Anthropic's."""
    _refuse(body)
    messages = messages_ours(body.messages)
    choice = body.tool_choice or GivenChoice(type="auto")
    return target.fill(
        Generate(
            model=target.model,
            messages=prefaced(messages, target, text_of(body.system, "system")),
            options=_options(body),
            tools=_tools(body.tools),
            tool_choice=_choice(body, choice),
            tool_name=choice.name,
            parallel_tool_calls=not choice.disable_parallel_tool_use,
            think=_think(body, messages, target),
            format=_format(body),
            # Has the engine read a prompt that is not answered, for the request that comes next.
            echo=body.max_tokens == 0,
            truncate=False,
            keep_alive=keep_alive_seconds(body.keep_alive),
        )
    )


def _refuse(body: MessagesBody) -> None:
    for name, why in _ELSEWHERE.items():
        if getattr(body, name) not in (None, []):
            raise Unsupported(f"{name}: {why}")
    if body.thread is not None:
        raise NoThreads("thread: Nothing of messages is kept here: send all of them.")
    if body.max_tokens is not None and body.max_tokens < 0:
        raise InvalidRequest("max_tokens: must be 0 or more.")


def _options(body: MessagesBody) -> Options:
    given = Options(
        num_predict=option_of("max_tokens", "num_predict", body.max_tokens),
        temperature=option_of("temperature", "temperature", body.temperature),
        top_p=option_of("top_p", "top_p", body.top_p),
        top_k=option_of("top_k", "top_k", body.top_k),
        stop=option_of("stop_sequences", "stop", body.stop_sequences or None),
    )
    return given.over(parse_options(body.options))


def _tools(given: list[GivenTool]) -> tuple[Tool, ...]:
    if len(given) > MAX_TOOLS:
        raise InvalidRequest(f"{len(given)} tools are too many; at most {MAX_TOOLS} are taken.")
    return tuple(_tool(tool, f"tools.{number}") for number, tool in enumerate(given))


def _tool(given: GivenTool, place: str) -> Tool:
    if given.type not in (None, "custom"):
        raise Unsupported(f"{place}: tools of type '{given.type}' are not supported, only the client's own.")
    schema = given.input_schema or {}
    schema_text(schema)
    wanted = {"name": given.name, "description": given.description or "", "parameters": schema}
    try:
        return msgspec.convert(wanted, Tool)
    except ValidationError as error:
        raise InvalidRequest(f"{place}: {error}") from error


def _choice(body: MessagesBody, choice: GivenChoice) -> ToolChoice:
    meant = _CHOICES.get(choice.type)
    if meant is None:
        raise InvalidRequest("tool_choice.type: must be auto, any, tool or none.")
    named = {tool.name for tool in body.tools}
    if choice.type == "tool" and choice.name not in named:
        raise InvalidRequest(f"tool_choice.name: there is no tool '{choice.name}'.")
    if meant == "required" and not named:
        raise InvalidRequest("tool_choice: there are no tools to choose from.")
    return meant


def _think(body: MessagesBody, messages: Sequence[Message], target: Target) -> Think:
    """Off unless asked for; a model that does not think is asked in vain, as at Ollama's. Between tools
    is where the last thing said is what one of them did."""
    wanted = body.thinking.type if body.thinking else "disabled"
    effort = body.output_config.effort if body.output_config else None
    if wanted not in THINKING:
        raise InvalidRequest(f"thinking.type: must be one of {', '.join(THINKING)}.")
    if effort is not None and effort not in _EFFORTS:
        raise InvalidRequest(f"output_config.effort: must be one of {', '.join(_EFFORTS)}.")
    if "thinking" not in target.capabilities:
        return None
    if wanted == "disabled" or (wanted == "between_tools" and messages[-1].role != "tool"):
        return False
    return _EFFORTS[effort] if effort else True


def _format(body: MessagesBody) -> str:
    given = (body.output_config and body.output_config.format) or body.output_format
    if given is None:
        return ""
    if given.type != "json_schema":
        raise InvalidRequest("output_config.format.type: must be json_schema.")
    return schema_text(given.schema)
