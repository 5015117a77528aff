"""From a request with pictures to what the model reads.

The chat template sets the text, and the model's processor puts into it what stands for each
picture. Pictures are decoded here: a processor never sees an address or a path, which it would open.
Control tokens in what people wrote, and the marks of pictures among them, are taken apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from inference.chat_templates import takes_tools, variables
from inference.engine.chat import as_dicts, schemas, thinking_variables
from inference.engine.pictures import MOST_PICTURES, decode_pictures
from inference.engine.prompts import PromptBuilder, shown_tools
from inference.engine.row import Media, Prompt
from inference.engine.sounds import decode_sounds
from inference.engine.template_worker import REFUSALS
from inference.errors import InvalidRequest, TooLarge, Unsupported
from inference.protocol import Generate, Message, Think, Tool

Inputs = Mapping[str, Any]
PROBE = "probe"
# What stands in a text for one of its pictures, as in Ollama.
PLACE = "[img]"
# How often texts are searched for marks that are left over from overlapping ones.
MOST_OVERLAPS = 3


class Processed(list[int]):
    """The token ids of a chat, with everything else that the processor made of it."""

    def __init__(self, inputs: Inputs) -> None:
        super().__init__(inputs["input_ids"][0].tolist())
        self.inputs = inputs


class ChatProcessor:
    """Makes a model's inputs of chats, with its processor."""

    def __init__(self, processor: Any) -> None:
        self.tokenizer = processor.tokenizer
        self._processor = processor
        self._template = processor.chat_template or self.tokenizer.chat_template
        # Other parts of the engine look for the template here.
        self.tokenizer.chat_template = self._template
        self._in_parts = self._takes_parts("")
        added = self.tokenizer.added_tokens_decoder.values()
        marks = {token.content.strip() for token in added if token.special}
        marks |= {self._mark(name) for name in ("image_token", "audio_token", "video_token")}
        marks = {mark for mark in marks if len(mark) > 1}
        self._control = re.compile("|".join(map(re.escape, sorted(marks, key=len, reverse=True))) or "(?!)")

    @property
    def hears(self) -> bool:
        """Whether the model takes sounds."""
        return getattr(self._processor, "feature_extractor", None) is not None

    def process(
        self, messages: Sequence[Message], tools: Sequence[Tool], think: Think, given: str = ""
    ) -> Processed:
        """The inputs for a chat, up to where the answer begins; ``InvalidRequest`` where that cannot be.

        The template is the ``given`` one, or the model's own.
        """
        if not self.hears and any(message.audios for message in messages):
            raise Unsupported("This model does not take sounds.")
        pictures = decode_pictures([file for message in messages for file in _in_order(message)])
        rate = self._processor.feature_extractor.sampling_rate if self.hears else 0
        sounds = decode_sounds([file for message in messages for file in message.audios], rate)
        try:
            text = self._written(messages, tools, think, given)
            start = self.tokenizer.bos_token
            return Processed(
                self._processor(
                    text=text,
                    **({"images": [pictures]} if pictures else {}),
                    **({"audio": sounds, "sampling_rate": rate} if sounds else {}),
                    # A template writes what texts begin with, where they do.
                    add_special_tokens=not (start and text.startswith(start)),
                    return_tensors="pt",
                )
            )
        except REFUSALS as error:
            reason = str(error)[:300]
            raise InvalidRequest(f"The model cannot take these messages: {reason}") from error

    def _written(self, messages: Sequence[Message], tools: Sequence[Tool], think: Think, given: str) -> str:
        template = given or self._template
        in_parts = self._takes_parts(given) if given else self._in_parts
        chat = [
            {**self._harmless(shown), "content": self._content(message, in_parts)}
            for shown, message in zip(as_dicts(messages), messages, strict=True)
        ]
        if tools and not takes_tools(str(template)):
            raise Unsupported("This model does not support tools: its chat template has no place for them.")
        if not template:
            return "\n\n".join(message["content"] for message in chat)
        options = thinking_variables(variables(str(template)), think)
        text: str = self._processor.apply_chat_template(
            chat,
            chat_template=given or None,
            tools=self._harmless(schemas(tools)) or None,
            add_generation_prompt=True,
            **options,
        )
        return text

    def _content(self, message: Message, in_parts: bool) -> Any:
        """The text with its pictures where it says so; the rest stand before it."""
        text, *pieces = self._harmless(message.content).split(PLACE, len(message.images))
        kinds = ["image"] * (len(message.images) - len(pieces)) + ["audio"] * len(message.audios)
        if not in_parts:
            marks = "".join(self._mark(f"{kind}_token") for kind in kinds)
            return marks + self._mark("image_token").join([text, *pieces])
        parts = [*({"type": kind} for kind in kinds), {"type": "text", "text": text}]
        for piece in pieces:
            parts += [{"type": "image"}, {"type": "text", "text": piece}]
        return parts

    def _mark(self, name: str) -> str:
        """The text that stands for a picture or a sound."""
        return str(getattr(self._processor, name, None) or "")

    def _takes_parts(self, given: str) -> bool:
        """Whether the template reads contents in parts, as those of most models that see do."""
        chat = [{"role": "user", "content": [{"type": "text", "text": PROBE}]}]
        try:
            known = given or self._template
            text = self._processor.apply_chat_template(chat, chat_template=given or None) if known else ""
        except (*REFUSALS, InvalidRequest):
            return False
        return PROBE in text and not any(mark in text for mark in ("'type'", '"type"'))

    def _harmless(self, value: Any) -> Any:
        """``value`` with every control token in its texts taken apart."""
        if isinstance(value, dict):
            return {self._harmless(name): self._harmless(part) for name, part in value.items()}
        if isinstance(value, list):
            return [self._harmless(part) for part in value]
        if not isinstance(value, str):
            return value
        # More than once, since marks can overlap.
        for _ in range(MOST_OVERLAPS):
            value = self._control.sub(lambda found: f"{found[0][0]} {found[0][1:]}", value)
        return value


def _in_order(message: Message) -> tuple[bytes, ...]:
    """The pictures of a message in the order in which they stand in it: the first go where the text says."""
    placed = min(message.content.count(PLACE), len(message.images))
    return message.images[placed:] + message.images[:placed]


class VisionPromptBuilder(PromptBuilder):
    """Builds prompts with a model's processor.

    ``perceive`` makes what is read of a processor's inputs, for an owner.
    """

    def __init__(
        self, chats: ChatProcessor, vocabulary: int, perceive: Callable[[Inputs, str], Media | None]
    ) -> None:
        super().__init__(chats.tokenizer, vocabulary)
        self._chats = chats
        self._perceive = perceive

    def build(self, request: Generate, context: int) -> Prompt:
        """The prompt, shorter than ``context``; errors as ``PromptBuilder``'s and ``ChatProcessor``'s."""
        count = sum(len(message.images) + len(message.audios) for message in request.messages)
        if count > MOST_PICTURES:
            raise TooLarge(f"There are {count} pictures and sounds; at most {MOST_PICTURES} are taken.")
        if count and (request.prompt is not None or request.context):
            raise InvalidRequest("Pictures go with messages, not with a prompt or a context.")
        tokens = self._fitting(request, [], context) if count else super().build(request, context)
        # What lost its middle is none of the processor's any more.
        inputs = tokens.inputs if isinstance(tokens, Processed) else {"input_ids": torch.tensor([tokens])}
        return Prompt(tokens, self._perceive(inputs, request.owner))

    def _rendered(self, messages: Sequence[Message], request: Generate) -> Processed:
        return self._chats.process(messages, shown_tools(request), request.think, request.template)
