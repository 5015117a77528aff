"""``POST /v1/chat/completions``: what its body may say, and the request that it is for us.

Source: OpenAI's reference and the types of their Python client, 3.54. Fields that say nothing of
what is generated (``user``, ``metadata``, ``store``, ``service_tier``, …) are ignored.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta, Struct

from aliases.target import Target
from hugweb.api.fields import NOT_NULL, GivenChoice, rule, told
from hugweb.api.openai.capabilities import check_files, require
from hugweb.api.openai.formats import GivenFormat, read_format
from hugweb.api.openai.messages import GivenMessage, read_messages
from hugweb.api.openai.parts import count_files
from hugweb.api.openai.sampling import GenerationBody, StreamOptions
from hugweb.api.openai.tools import FunctionSpec, GivenTool, ToolSpec, read_tools
from hugweb.api.preface import prefaced
from hugweb.api.tool_choice import Tools
from inference.errors import InvalidRequest, Unsupported
from inference.protocol import LARGEST, MAX_MESSAGES, MAX_SAMPLES, MAX_TOOLS, MAX_TOP_LOGPROBS, Generate

# -1 and -2 are "as many as there are room for".
MaxTokens = Annotated[int, told(minimum=-2, maximum=LARGEST, **{"not": {"const": 0}})] | None
TOP_LOGPROBS = rule(
    {"top_logprobs": NOT_NULL}, {"required": ["logprobs"], "properties": {"logprobs": {"const": True}}}
)
Refused = Annotated[Any, told(type="null")]


class FunctionName(Struct, kw_only=True):
    """The function that has to be called."""

    name: str


class ChatBody(GenerationBody, kw_only=True):
    """The body. ``modalities`` with sound, and what follows ``function_call``, are refused by name."""

    longest: ClassVar = {
        "messages": (MAX_MESSAGES, "messages"),
        "tools": (MAX_TOOLS, "tools"),
        "functions": (MAX_TOOLS, "functions"),
    }

    messages: Annotated[list[GivenMessage], told(maxItems=MAX_MESSAGES)] = []
    n: Annotated[int, Meta(ge=1, le=MAX_SAMPLES)] = 1
    max_tokens: MaxTokens = None
    max_completion_tokens: MaxTokens = None
    logprobs: bool = False
    top_logprobs: Annotated[int, Meta(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    tools: Annotated[list[GivenTool], told(maxItems=MAX_TOOLS)] = []
    tool_choice: GivenChoice = None
    parallel_tool_calls: bool = True
    response_format: GivenFormat = None
    stream_options: StreamOptions = StreamOptions()
    modalities: list[Annotated[str, told(enum=["text"])]] = []
    functions: Annotated[list[FunctionSpec], told(maxItems=MAX_TOOLS)] = []
    function_call: Literal["auto", "none"] | FunctionName | None = None
    audio: Refused = None
    moderation: Refused = None
    web_search_options: Refused = None

    @property
    def with_functions(self) -> bool:
        """Whether tools are asked for, and answered, as they were before there were others than functions."""
        return bool(self.functions) and not self.tools

    @property
    def files(self) -> int:
        """How many files there are to read in it."""
        return sum(count_files(message.content) for message in self.messages)

    def request(self, target: Target) -> Generate:
        """This body as a request to ``target``; refused is what ``target`` cannot do."""
        self._refuse()
        messages = prefaced(read_messages(self.messages), target)
        check_files(target, messages, "messages")
        tools = self._tools(target)
        return target.fill(
            Generate(
                model=target.model,
                messages=messages,
                options=self.sampling(target, *self._max_tokens()),
                tools=tools.tools,
                tool_choice=tools.choice,
                tool_name=tools.name,
                parallel_tool_calls=tools.parallel(self.parallel_tool_calls and not self.with_functions),
                think=self.thinking(target),
                format=read_format(self.response_format, "response_format"),
                logprobs=(self.top_logprobs or 0) if self.logprobs else None,
                samples=self.n,
                truncate=False,
                keep_alive=self.seconds_to_stay(),
            )
        )

    def _tools(self, target: Target) -> Tools:
        param = "functions" if self.with_functions else "tools"
        given = self.tools or [ToolSpec(function=function) for function in self.functions]
        if given:
            require(target, "tools", "tools", param)
        choice = self.tool_choice
        if self.with_functions:
            named = isinstance(self.function_call, FunctionName)
            choice = msgspec.to_builtins(self.function_call) if named else self.function_call
        return read_tools(given, choice, param)

    def _max_tokens(self) -> tuple[str, int | None]:
        """The newer of the two names wins; 0 would be an answer without anything in it."""
        name = "max_tokens" if self.max_completion_tokens is None else "max_completion_tokens"
        value = getattr(self, name)
        if value == 0:
            raise InvalidRequest(f"{name} must be at least 1", param=name)
        return name, value

    def _refuse(self) -> None:
        if self.web_search_options is not None:
            raise Unsupported("There is no web search here.", param="web_search_options")
        if self.moderation is not None:
            raise Unsupported("Nothing is checked here.", param="moderation")
        if set(self.modalities) - {"text"}:
            raise Unsupported("Answers are text only.", param="modalities")
        if self.audio is not None:
            raise Unsupported("Answers are text only.", param="audio")
        if self.top_logprobs is not None and not self.logprobs:
            raise InvalidRequest("top_logprobs needs logprobs to be true.", param="top_logprobs")
