"""How one model writes its answers, read off its chat template, and what a request makes of that.

Formats are known by the marks that their templates hold. A model that declares how it is to be read
(transformers' ``response_template``) is read so, unless its calls are forced: a declaration does not
say how to write them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from msgspec.structs import replace

from inference.chat_templates import CHANNEL, THOUGHT_NAMES, thought_tags, wrapping_tags
from inference.engine.answers import AnswerReader
from inference.engine.answers.calls import CallFormat, Calls
from inference.engine.answers.declared import DeclaredReader, declared
from inference.engine.answers.deepseek import DeepSeek, DeepSeekFenced
from inference.engine.answers.gemma import FUNCTION_GEMMA, GEMMA_4
from inference.engine.answers.glm import Glm
from inference.engine.answers.harmony import MARKS, THOUGHT, HarmonyCalls, HarmonyReader
from inference.engine.answers.hermes import Hermes
from inference.engine.answers.invoked import Invoked
from inference.engine.answers.kimi import Kimi
from inference.engine.answers.lists import COMMAND, HUNYUAN, NEMOTRON, Granite
from inference.engine.answers.mistral import MistralList, MistralNamed
from inference.engine.answers.plain import Plain
from inference.engine.answers.pythonic import LFM, OLMO
from inference.engine.answers.qwen_coder import QwenCoder
from inference.engine.answers.syntax import CallSyntax, ThoughtSyntax
from inference.engine.answers.tagged import TaggedReader
from inference.engine.answers.thoughts import Thoughts
from inference.engine.answers.wrapped import Wrapping
from inference.engine.prompts import shown_tools
from inference.engine.shape import Shape
from inference.errors import InvalidRequest
from inference.protocol import Generate, Tool

Decode = Callable[[Sequence[int]], str]

# What a template holds, all of it, and how calls are written then. The first one counts.
FORMATS: tuple[tuple[tuple[str, ...], CallFormat], ...] = (
    (("<seed:tool_call>",), QwenCoder("seed:tool_call")),
    (("<function=", "<parameter="), QwenCoder()),
    (("<tool_call>", "<arg_key>"), Glm()),
    (("<tool_call>",), Hermes()),
    (("[TOOL_CALLS]", "[ARGS]"), MistralNamed()),
    (("[TOOL_CALLS]",), MistralList()),
    (("<｜tool▁calls▁begin｜>", "```json"), DeepSeekFenced()),
    (("<｜tool▁calls▁begin｜>",), DeepSeek()),
    (("<|tool_call_begin|>",), Kimi()),
    (("<|tool_call|>",), Granite()),
    (("<|tool_call>",), GEMMA_4),
    (("<start_function_call>",), FUNCTION_GEMMA),
    (("<minimax:tool_call>",), Invoked()),
    # LFM 2 and what came after it: the older templates show only how tools are told.
    (("<|tool_call_start|>",), LFM),
    (("<|tool_list_start|>",), LFM),
    (("<function_calls>",), OLMO),
    (("<TOOLCALL>",), NEMOTRON),
    (("<tool_calls>",), HUNYUAN),
    (("<|START_ACTION|>",), COMMAND),
)
# What Llama's templates say of several calls in one message: an answer with them could not be gone on from.
ONE_CALL = "only supports single tool-calls"
# Tokens at the end of a prompt that tell whether it has begun a thought.
TAIL = 32


@dataclass(frozen=True)
class Rules:
    """How one request's answers are read: ``reader`` makes one for each, ``None`` if all is text."""

    shape: Shape
    decode: Decode
    reader: Callable[[], AnswerReader | None]


class AnswerStyle:
    """One chat template's way of writing thoughts and calls; an empty ``source`` has none."""

    def __init__(self, tokenizer: Any, source: str) -> None:
        self._tokenizer = tokenizer
        self._channels = CHANNEL in source
        self._tags = None if self._channels else thought_tags(source)
        known = (form for marks, form in FORMATS if all(mark in source for mark in marks))
        self._form = next(known, Plain())
        self._one = ONE_CALL in source
        self._declared = declared(tokenizer) if source else None
        added = tokenizer.added_tokens_decoder
        self._wrapping = wrapping_tags(source, {token.content for token in added.values()})
        special = {index for index, token in added.items() if token.special} | set(tokenizer.all_special_ids)
        self._control = {index: added[index].content if index in added else "" for index in special}

    def rules(self, request: Generate, prompt: list[int]) -> Rules:
        """How the answers to ``prompt``, which was made of ``request``, are read."""
        tools = shown_tools(request)
        end = self._tokenizer.decode(prompt[-TAIL:]).rstrip()
        shape = self._shape(request, tools, end)
        opened = shape.opened
        known = {tool.name: tool for tool in tools}
        one = self._one or not request.parallel_tool_calls
        forced = bool(shape.calls) and not shape.format
        # A stop string may be a control token, which is no text otherwise.
        stops = request.options.stop or ()
        if self._declared and not forced:
            before = self._tokenizer.decode(prompt)
            return Rules(
                shape, self._decoder(None), partial(DeclaredReader, self._declared, before, known, one=one)
            )
        if self._channels:
            return Rules(shape, self._decoder((*MARKS, *stops)), partial(HarmonyReader, known, one=one))
        if self._tags is None and not tools:
            return Rules(shape, self._decoder(stops), _nothing)
        marks = (*(self._tags or ()), *(self._wrapping or ()), *(self._form.marks if tools else ()))
        return Rules(shape, self._decoder((*marks, *stops)), partial(self._tagged, known, opened, one))

    def _tagged(self, tools: dict[str, Tool], opened: bool, one: bool) -> AnswerReader:
        tags = self._tags
        control = tags is not None and set(tags) <= set(self._control.values())
        thoughts = Thoughts(tags, opened=opened, control=control) if tags else None
        wrapping = Wrapping(self._wrapping) if self._wrapping else None
        return TaggedReader(thoughts, Calls(self._form, tools, one=one) if tools else None, wrapping)

    def _shape(self, request: Generate, tools: Sequence[Tool], end: str) -> Shape:
        """What the answer to a prompt with this ``end`` is to be: free, a format, calls, or one of both."""
        name = THOUGHT_NAMES.get(self._tags.opening, "").strip() if self._tags else ""
        opened = self._tags is not None and end.endswith((self._tags.opening, f"{self._tags.opening}{name}"))
        thought = self._thought(end)
        required = request.tool_choice == "required"
        if not required and not (tools and request.format):
            return Shape(format=request.format, thought=thought, opened=opened)
        syntax: CallSyntax = HarmonyCalls() if self._channels else self._form
        before, between, after = syntax.around()
        return Shape(
            format="" if required else request.format,
            calls=tuple(syntax.call(_strict(tool)) for tool in _chosen(request, tools)),
            around=(before, between if request.parallel_tool_calls else None, after),
            thought=thought,
            opened=opened,
        )

    def _thought(self, end: str) -> ThoughtSyntax | None:
        """What a thought looks like, where one may come: not where the prompt has closed it already."""
        if self._channels:
            return THOUGHT
        if self._tags is None or end.endswith(self._tags.closing):
            return None
        name = THOUGHT_NAMES.get(self._tags.opening)
        opening = (self._tags.opening, name) if name else (self._tags.opening,)
        return ThoughtSyntax(opening, (self._tags.closing,))

    def _decoder(self, marks: Sequence[str] | None) -> Decode:
        """What makes text of tokens, of control tokens only for ``marks``; for all if that is ``None``."""
        decode = partial(self._tokenizer.decode, clean_up_tokenization_spaces=False)
        if marks is None:
            return partial(decode, skip_special_tokens=False)
        hidden = {index for index, text in self._control.items() if text not in marks}
        if len(hidden) == len(self._control):
            return partial(decode, skip_special_tokens=True)

        def shown(tokens: Sequence[int]) -> str:
            text: str = decode([token for token in tokens if token not in hidden], skip_special_tokens=False)
            return text

        return shown


def _nothing() -> None:
    """Without thoughts and calls there is nothing to read."""


def _strict(tool: Tool) -> Tool:
    """``tool`` with parameters that are an object, and none where it does not name any."""
    return replace(tool, parameters={"type": "object", "properties": {}, **tool.parameters})


def _chosen(request: Generate, tools: Sequence[Tool]) -> Sequence[Tool]:
    """The tools one of which may or must be called."""
    if request.tool_choice == "auto":
        return tools
    if not tools:
        raise InvalidRequest("tool_choice asks for a call, but the request has no tools.")
    if not request.tool_name:
        return tools
    chosen = [tool for tool in tools if tool.name == request.tool_name]
    if not chosen:
        raise InvalidRequest(f"tool_choice names {request.tool_name!r}, which is not among the tools.")
    return chosen
