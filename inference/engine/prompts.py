"""From a request to the tokens that the model reads.

Messages go through the model's own chat template, or one that comes with the request; a plain prompt
goes in as it is, or, with a suffix, between the marks of a model that fills in. A conversation that is
too long loses its oldest turns, never a system message and never the last one; a plain prompt loses its
middle, and so does, where the answer may forget as well, what is left of a conversation.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec

from inference.chat_templates import infill_tokens, takes_tools, thinks
from inference.engine.chat import ChatTemplate
from inference.engine.trimming import Group, droppable
from inference.errors import ContextOverflow, InvalidRequest, Unsupported
from inference.protocol import Generate, Message, Tool

# No usual tokenizer makes tokens longer than this on average; longer texts need not be tokenized
# to know that they do not fit.
MOST_CHARACTERS_PER_TOKEN = 32
# A chat that loses its middle is read up to this length: a system message and a question, each of which has
# lost its own.
CUT_CONTEXTS = 4


class PromptBuilder:
    """Builds prompts with one model's tokenizer."""

    def __init__(self, tokenizer: Any, vocabulary: int) -> None:
        self._tokenizer = tokenizer
        self._template = ChatTemplate(tokenizer)
        self.vocabulary = vocabulary

    def build(self, request: Generate, context: int) -> list[int]:
        """Token ids of the prompt, fewer than ``context``; ``ContextOverflow`` if that cannot be."""
        if any(message.images or message.audios for message in request.messages):
            raise Unsupported(f'"{request.model.name}" reads text only. Choose a model that sees, or hears.')
        before = self._checked(request.context)
        if request.prompt is not None and request.suffix:
            return before + self._infilled(request, context - len(before), first=not before)
        if request.prompt is not None:
            return self._plain(request, before, context)
        return self._fitting(request, before, context) or [self._beginning()]

    def template(self, request: Generate) -> str:
        """The template that says how the model answers: a given one that speaks of tools or thoughts, else
        the model's own, if it has one. Empty where the prompt goes through none."""
        given = request.template
        if request.prompt is not None:
            return ""
        if given and (takes_tools(given) or thinks(given)):
            return given
        return self._template.source(shown_tools(request)) or given

    def _checked(self, context: Sequence[int]) -> list[int]:
        if any(not 0 <= token < self.vocabulary for token in context):
            raise InvalidRequest("The context holds tokens that this model does not have.")
        return list(context)

    def _plain(self, request: Generate, before: list[int], context: int) -> list[int]:
        """A plain prompt after what stands ``before`` it; of both, if they are too long, the beginning that
        is kept and the end, as in Ollama."""
        text, room = request.prompt or "", context - len(before)
        most = context * MOST_CHARACTERS_PER_TOKEN
        if len(text) > most and not request.truncate:
            raise _overflow(None, room)
        if len(text) > 2 * most:
            # The middle would go in any case: it need not be tokenized.
            text = text[:most] + text[-most:]
        tokens: list[int] = before + self._tokenizer(text, add_special_tokens=not before)["input_ids"]
        tokens = tokens or [self._beginning()]
        if len(tokens) < context:
            return tokens
        if not request.truncate:
            raise _overflow(len(tokens) - len(before), room)
        return self._without_middle(tokens, request, context)

    def _without_middle(self, tokens: list[int], request: Generate, context: int) -> list[int]:
        """Of too many ``tokens`` the beginning that is kept, and the end."""
        keep = count_kept(tokens, request.options.num_keep or 0, context, self._tokenizer.bos_token_id)
        return tokens[:keep] + tokens[len(tokens) - (context - 1 - keep) :]

    def _infilled(self, request: Generate, room: int, *, first: bool) -> list[int]:
        """What stands before and what stands after, so that the model writes what is between."""
        before, after = request.prompt or "", request.suffix
        infill = infill_tokens(self._tokenizer.get_vocab())
        if infill is None:
            raise Unsupported(f"{request.model.name} does not support insert: it has no tokens for it.")
        if len(before) + len(after) > room * MOST_CHARACTERS_PER_TOKEN:
            raise _overflow(None, room)
        prefix, suffix, middle = self._tokenizer.convert_tokens_to_ids(list(infill))
        start: list[int] = self._tokenizer("")["input_ids"][:1] if first else []
        start = start if start == [self._tokenizer.bos_token_id] else []
        tokens = [*start, prefix, *self._encoded(before), suffix, *self._encoded(after), middle]
        if len(tokens) >= room:
            raise _overflow(len(tokens), room)
        return tokens

    def _encoded(self, text: str) -> list[int]:
        """``text`` as text: control tokens within it are none."""
        encoded: list[int] = self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        return encoded

    def _beginning(self) -> int:
        """The token that an empty prompt consists of."""
        for token in (self._tokenizer.bos_token_id, self._tokenizer.eos_token_id, 0):
            if token is not None:
                return int(token)
        raise AssertionError("0 is always there")

    def _fitting(self, request: Generate, before: list[int], context: int) -> list[int]:
        """The rendered messages after what stands ``before`` them, as few of the oldest dropped as make the
        rest fit into ``context``; where all are not enough, without the middle of what is left."""
        room, cuts = context - len(before), _may_be_cut(request)
        request = _shortened(request, context) if cuts else request
        messages = request.messages
        groups = droppable(messages) if request.truncate else []

        @cache
        def without(count: int) -> list[int]:
            dropped = {index for group in groups[:count] for index in group}
            kept = [message for index, message in enumerate(messages) if index not in dropped]
            return self._rendered(kept, request)

        least = _surely_dropped(request, groups, room, CUT_CONTEXTS * context if cuts else room)
        counts = range(least, len(groups) + 1)
        fits = len(without(least)) < room
        fewest = 0 if fits else bisect_left(counts, True, key=lambda count: len(without(count)) < room)
        if fewest < len(counts):
            fitting = without(counts[fewest])
            return before + fitting if before else fitting
        if cuts:
            return self._without_middle(before + without(len(groups)), request, context)
        raise _overflow(len(without(len(groups))), room)

    def _rendered(self, messages: Sequence[Message], request: Generate) -> list[int]:
        tools = shown_tools(request)
        if request.template or self._tokenizer.chat_template:
            template = ChatTemplate(self._tokenizer, request.template)
            return template.render(messages, tools, request.think)
        if tools:
            raise Unsupported(f"{request.model.name} does not support tools: it has no chat template.")
        tokens: list[int] = self._tokenizer("\n\n".join(message.content for message in messages))["input_ids"]
        return tokens


def shown_tools(request: Generate) -> tuple[Tool, ...]:
    """The tools that the model is told about: only a chat has a place for them."""
    hidden = request.tool_choice == "none" or request.prompt is not None
    return () if hidden else request.tools


def _may_be_cut(request: Generate) -> bool:
    """Whether what is left of a chat may lose its middle: what is forgotten must be text."""
    has_media = any(message.images or message.audios for message in request.messages)
    return request.truncate and request.shift and not has_media


def _shortened(request: Generate, context: int) -> Generate:
    """``request`` without the middle of each content that would lose it anyway: it need not be tokenized."""
    most = context * MOST_CHARACTERS_PER_TOKEN
    messages = tuple(
        msgspec.structs.replace(message, content=message.content[:most] + message.content[-most:])
        if len(message.content) > 2 * most
        else message
        for message in request.messages
    )
    return msgspec.structs.replace(request, messages=messages)


def _surely_dropped(request: Generate, groups: Sequence[Group], room: int, readable: int) -> int:
    """How many groups must go by their length in characters alone; ``ContextOverflow`` where what is left
    surely has more than ``readable`` tokens."""
    most = room * MOST_CHARACTERS_PER_TOKEN
    lengths = [_length(message) for message in request.messages]
    length = sum(lengths) + sum(len(msgspec.json.encode(tool)) for tool in shown_tools(request))
    for count, group in enumerate(groups):
        if length <= most:
            return count
        length -= sum(lengths[index] for index in group)
    if length > readable * MOST_CHARACTERS_PER_TOKEN:
        raise _overflow(None, room)
    return len(groups)


def _length(message: Message) -> int:
    """Characters that a template surely shows."""
    return len(message.content) + sum(len(msgspec.json.encode(call.arguments)) for call in message.tool_calls)


def count_kept(tokens: Sequence[int], wanted: int, context: int, beginning: int | None) -> int:
    """How much of the beginning of ``tokens`` stays where there are too many for ``context``: as many as
    ``wanted``, all for -1, and the token that every text begins with. Something has to go, and the newest
    token to stay."""
    if wanted >= 0 and tokens[0] == beginning:
        wanted += 1
    return min(wanted if wanted >= 0 else len(tokens), len(tokens), context - 2)


def _overflow(tokens: int | None, room: int) -> ContextOverflow:
    # The text up to the colon is Ollama's.
    length = f"{tokens} tokens" if tokens else "far more"
    return ContextOverflow(
        "the prompt is longer than the context length currently available to the model; shorten the "
        "prompt, adjust the context length in settings, or use a model with a longer context length: "
        f"{length} where {max(room, 0)} fit"
    )
