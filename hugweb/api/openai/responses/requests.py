"""``POST /v1/responses``: what its body may say, and the request that it is for us.

Source: OpenAI's reference and the types of their Python client, 3.54.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta, Struct

from aliases.target import Target
from hugweb.api.body import struct_of
from hugweb.api.fields import GivenChoice, told
from hugweb.api.openai.capabilities import check_files, require
from hugweb.api.openai.formats import GivenFormat, read_format
from hugweb.api.openai.frames import Frame
from hugweb.api.openai.responses.items import MAX_ITEMS, GivenItem, Item, read_items
from hugweb.api.openai.responses.kept import kept
from hugweb.api.openai.responses.tools import GivenResponseTool, namespaces, read_response_tools
from hugweb.api.openai.sampling import GenerationBody
from hugweb.api.preface import prefaced
from inference.errors import InvalidRequest, Unsupported
from inference.protocol import MAX_MESSAGES, MAX_TOOLS, MAX_TOP_LOGPROBS, Generate, Message

LOGPROBS = "message.output_text.logprobs"
_REFUSED = {
    "conversation": "There are no conversations here: go on by previous_response_id, or send what was said.",
    "moderation": "Nothing is checked here.",
    "prompt": "There are no prompts here: send them as instructions and input.",
}


class TextFormat(Struct, frozen=True, kw_only=True):
    """What the text of an answer has to be."""

    format: GivenFormat = None


class Items(Struct):
    """Items as they come: anything at first, so that they can be kept as they are."""

    input: list[Item]


class ResponseBody(GenerationBody, kw_only=True):
    """The body. ``input`` is a text, or a list of items. The last three are told back, and nothing else."""

    longest: ClassVar = {"input": (MAX_ITEMS, "items")}

    input: str | list[dict[str, Any]] = ""
    instructions: str | None = None
    max_output_tokens: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    tools: Annotated[list[GivenResponseTool], told(maxItems=MAX_TOOLS)] = []
    tool_choice: GivenChoice = "auto"
    parallel_tool_calls: bool = True
    previous_response_id: str | None = None
    store: bool = True
    text: TextFormat = TextFormat()
    include: list[str] = []
    top_logprobs: Annotated[int, Meta(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    truncation: Literal["auto", "disabled"] = "disabled"
    metadata: dict[str, str] = {}
    user: str | None = None
    background: Annotated[bool, told(enum=[False])] = False
    conversation: Annotated[Any, told(type="null")] = None
    moderation: Annotated[Any, told(type="null")] = None
    prompt: Annotated[Any, told(type="null")] = None
    max_tool_calls: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None

    def items(self, response: str) -> list[Frame]:
        """What was said, as items of the response of that id; nothing where it goes on from another alone."""
        if not self.input:
            if self.previous_response_id:
                return []
            raise InvalidRequest(
                "input is required where no previous_response_id says what to go on from.", param="input"
            )
        given = [{"role": "user", "content": self.input}] if isinstance(self.input, str) else self.input
        return [kept(item, response) for item in given]

    def namespaces(self) -> dict[str, str]:
        """The namespaces of tools, by the names that the model calls these by."""
        return namespaces(self.tools)

    def request(self, target: Target, items: list[Frame], history: Sequence[Frame]) -> Generate:
        """This body as a request to ``target`` that goes on from ``history``."""
        self._refuse()
        messages = self._messages(target, items, history)
        check_files(target, messages, "input")
        tools = read_response_tools(self.tools, self.tool_choice)
        if tools.tools:
            require(target, "tools", "tools", "tools")
        return target.fill(
            Generate(
                model=target.model,
                messages=messages,
                options=self.sampling(target, "max_output_tokens", self.max_output_tokens),
                tools=tools.tools,
                tool_choice=tools.choice,
                tool_name=tools.name,
                parallel_tool_calls=tools.parallel(self.parallel_tool_calls),
                think=self.thinking(target),
                format=read_format(self.text.format, "text.format"),
                logprobs=self._logprobs(),
                truncate=self.truncation == "auto",
                keep_alive=self.seconds_to_stay(),
            )
        )

    def _messages(self, target: Target, items: list[Frame], history: Sequence[Frame]) -> tuple[Message, ...]:
        if len(history) + len(items) > MAX_ITEMS:
            raise InvalidRequest(
                f"These are more than {MAX_ITEMS} items, with what was said before. Begin again, without"
                " naming that.",
                param="input",
            )
        new = struct_of({"input": items}, Items).input
        messages = read_items(msgspec.convert(history, list[Item]), new)
        return prefaced(messages, target, self.instructions or "")

    def _logprobs(self) -> int | None:
        return (self.top_logprobs or 0) if LOGPROBS in self.include or self.top_logprobs else None

    def _refuse(self) -> None:
        if self.background:
            raise Unsupported("Responses in the background are not supported.", param="background")
        for name, why in _REFUSED.items():
            if getattr(self, name) is not None:
                raise Unsupported(why, param=name)


# An answer that was cut goes on without another word.
INPUT_OR_PREVIOUS = {
    "anyOf": [
        {
            "required": ["input"],
            "properties": {
                "input": {"anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "minItems": 1}]}
            },
        },
        {
            "required": ["previous_response_id"],
            "properties": {"previous_response_id": {"type": "string", "minLength": 1}},
        },
    ]
}


class DescribedBody(ResponseBody, kw_only=True):
    """The body as the description has it: its items are checked later, since they are kept as they came."""

    input: str | Annotated[list[GivenItem], told(maxItems=MAX_MESSAGES)] = ""  # type: ignore[assignment]
