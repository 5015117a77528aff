"""Telling what a model thinks from what it says.

A thought stands before the answer, between two tags; the prompt may have opened it already. White
space next to the tags belongs to neither. Further thoughts may follow the first one directly; once
the model has begun to answer, a tag is text that somebody asked about, unless it is a control token,
which nobody can ask about: then another thought begins.
"""

from __future__ import annotations

from enum import Enum, auto

from inference.chat_templates import THOUGHT_NAMES, Tags
from inference.engine.answers.markers import first_marker, unfinished
from inference.protocol import Thought


class Stage(Enum):
    """Where in an answer its text has come to."""

    BEFORE = auto()
    THINKING = auto()
    ANSWERING = auto()


class Thoughts:
    """Splits one answer into thoughts and the text that is left. ``control``: the tags are control tokens."""

    def __init__(self, tags: Tags, *, opened: bool, control: bool = False) -> None:
        self._tags = tags
        self._control = control
        self._name = THOUGHT_NAMES.get(tags.opening, "")
        self._stage = Stage.THINKING if opened else Stage.BEFORE
        self._held = ""
        self._begun = False
        self._thought = opened

    def push(self, text: str) -> list[Thought | str]:
        """What ``text`` adds; ends of it that may belong to a tag are held back."""
        self._held += text
        out: list[Thought | str] = []
        while self._advance(out):
            pass
        return out

    def finish(self) -> list[Thought | str]:
        """What was held back, now that no more text comes."""
        held, self._held = self._held, ""
        if self._stage is Stage.THINKING:
            held = (held if self._begun else self._unnamed(held.lstrip())).rstrip()
            return [Thought(text=held)] if held.strip() else []
        after_thought = self._thought and self._stage is Stage.BEFORE
        return [held] if held and not (after_thought and held.isspace()) else []

    def _advance(self, out: list[Thought | str]) -> bool:
        """One step through what is held; whether another may follow."""
        if self._stage is Stage.BEFORE:
            return self._begin(out)
        if self._stage is Stage.THINKING:
            return self._think(out)
        return self._answer(out)

    def _answer(self, out: list[Thought | str]) -> bool:
        """Within the answer, up to a control token."""
        tags = self._tags if self._control else ()
        found = first_marker(self._held, tags)
        end = found[0] if found else len(self._held) - unfinished(self._held, tags)
        if end:
            out.append(self._held[:end])
        self._held = self._held[end:]
        if found:
            self._stage = Stage.BEFORE
        return found is not None

    def _begin(self, out: list[Thought | str]) -> bool:
        """Before any text: a thought begins, or the answer does."""
        start = self._held.lstrip()
        for tag in self._tags:
            if start.startswith(tag):
                self._held = start[len(tag) :]
                self._thought = True
                if tag == self._tags.opening:
                    self._stage, self._begun = Stage.THINKING, False
                return True
        if any(tag.startswith(start) for tag in self._tags):
            return False
        self._stage = Stage.ANSWERING
        if self._thought:
            self._held = start
        return True

    def _think(self, out: list[Thought | str]) -> bool:
        """Within a thought, up to its end."""
        before, closing, after = self._held.partition(self._tags.closing)
        keep = 0 if closing else unfinished(before, (self._tags.closing,))
        body, beginning = before[: len(before) - keep], before[len(before) - keep :]
        if not self._begun:
            body = body.lstrip()
            if not closing and self._name.startswith(body.rstrip()):
                return False
            body = self._unnamed(body)
            self._begun = bool(body)
        shown = body.rstrip()
        if shown:
            out.append(Thought(text=shown))
        if closing:
            self._stage, self._held = Stage.BEFORE, after
            return True
        self._held = body[len(shown) :] + beginning
        return False

    def _unnamed(self, body: str) -> str:
        """The beginning of a thought without the name that stands before it."""
        return "" if body.strip() == self._name.strip() else body.removeprefix(self._name).lstrip()
