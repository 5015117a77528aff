"""From a request to the tokens that the model reads.

Messages go through the model's own chat template, with control tokens in what people wrote made
harmless; a plain prompt goes in as it is. A conversation that is too long loses its oldest
messages, never a system message and never the last one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import cache
from typing import Any

from inference.errors import ContextOverflow, InvalidRequest
from inference.protocol import Generate, Message

# No usual tokenizer makes tokens longer than this on average; longer texts need not be tokenized
# to know that they do not fit.
MOST_CHARACTERS_PER_TOKEN = 32


class PromptBuilder:
    """Builds prompts with one model's tokenizer."""

    def __init__(self, tokenizer: Any, vocabulary: int) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary

    def build(self, request: Generate, context: int) -> list[int]:
        """Token ids of the prompt, fewer than ``context``; ``ContextOverflow`` if that cannot be."""
        before = self._checked(request.context)
        room = context - len(before)
        if request.prompt is not None:
            tokens = self._plain(request.prompt, room, first=not before)
        else:
            tokens = self._fitting(list(request.messages), room)
        return before + tokens

    def _checked(self, context: Sequence[int]) -> list[int]:
        if any(not 0 <= token < self._vocabulary for token in context):
            raise InvalidRequest("The context holds tokens that this model does not have.")
        return list(context)

    def _plain(self, prompt: str, room: int, *, first: bool) -> list[int]:
        if len(prompt) > room * MOST_CHARACTERS_PER_TOKEN:
            raise _overflow(None, room)
        tokens: list[int] = self._tokenizer(prompt, add_special_tokens=first)["input_ids"]
        if first and not tokens:
            tokens = [self._beginning()]
        if len(tokens) >= room:
            raise _overflow(len(tokens), room)
        return tokens

    def _beginning(self) -> int:
        """The token that an empty prompt consists of."""
        for token in (self._tokenizer.bos_token_id, self._tokenizer.eos_token_id, 0):
            if token is not None:
                return int(token)
        raise AssertionError("0 is always there")

    def _fitting(self, messages: list[Message], room: int) -> list[int]:
        """The rendered ``messages``, as few of the oldest dropped as make the rest fit into ``room``."""
        droppable = [index for index, message in enumerate(messages[:-1]) if message.role != "system"]

        @cache
        def without(count: int) -> list[int]:
            return self._rendered(messages, set(droppable[:count]))

        least = self._surely_dropped(messages, droppable, room)
        if len(without(least)) < room:
            return without(least)
        counts = range(least, len(droppable) + 1)
        fewest = bisect_left(counts, True, key=lambda count: len(without(count)) < room)
        if fewest == len(counts):
            raise _overflow(len(without(len(droppable))), room)
        return without(counts[fewest])

    @staticmethod
    def _surely_dropped(messages: list[Message], droppable: list[int], room: int) -> int:
        """How many must go by their length in characters alone."""
        most = room * MOST_CHARACTERS_PER_TOKEN
        length = sum(len(message.content) for message in messages)
        for count, index in enumerate(droppable):
            if length <= most:
                return count
            length -= len(messages[index].content)
        if length > most:
            raise _overflow(None, room)
        return len(droppable)

    def _rendered(self, messages: list[Message], dropped: set[int]) -> list[int]:
        kept = [
            {"role": message.role, "content": message.content}
            for index, message in enumerate(messages)
            if index not in dropped
        ]
        if not self._tokenizer.chat_template:
            text = "\n\n".join(message["content"] for message in kept)
            tokens: list[int] = self._tokenizer(text)["input_ids"]
            return tokens or [self._beginning()]
        encoding = self._tokenizer.apply_chat_template(
            kept, add_generation_prompt=True, return_dict=True, sanitize_control_tokens=True
        )
        rendered: list[int] = encoding["input_ids"]
        return rendered


def _overflow(tokens: int | None, room: int) -> ContextOverflow:
    # The text up to the colon is Ollama's.
    length = f"{tokens} tokens" if tokens else "far more"
    return ContextOverflow(
        "the prompt is longer than the context length currently available to the model; shorten the "
        "prompt, adjust the context length in settings, or use a model with a longer context length: "
        f"{length} where {room} fit"
    )
