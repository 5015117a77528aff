"""Taking off the marks that some models put around what they say, beside those around their thoughts.

Only marks that the answer begins with count, and the first end after them; white space next to them is not
text. Calls may follow.
"""

from __future__ import annotations

from inference.chat_templates import Tags
from inference.engine.answers.markers import unfinished


class Wrapping:
    """Takes ``tags`` off one answer."""

    def __init__(self, tags: Tags) -> None:
        self._tags = tags
        self._held = ""
        self._begun = self._open = False

    def push(self, text: str) -> str:
        """What ``text`` adds; what may belong to a mark is held back."""
        self._held += text
        if not self._begun and not self._begin():
            return ""
        if not self._open:
            said, self._held = self._held, ""
            return said
        before, closing, after = self._held.partition(self._tags.closing)
        if closing:
            self._open, self._held = False, ""
            return before.rstrip() + after
        keep = unfinished(before, (self._tags.closing,))
        said = before[: len(before) - keep].rstrip()
        self._held = before[len(said) :]
        return said

    def finish(self) -> str:
        """What was held back, now that no more text comes."""
        held, self._held = self._held, ""
        if self._open:
            return held.rstrip()
        return "" if not self._begun and held.strip() == self._tags.opening else held

    def _begin(self) -> bool:
        """Whether it is sure how the answer begins."""
        start = self._held.lstrip()
        if start.startswith(self._tags.opening):
            inner = start[len(self._tags.opening) :].lstrip()
            if not inner:
                return False
            self._begun = self._open = True
            self._held = inner
        elif not self._tags.opening.startswith(start):
            self._begun = True
        return self._begun
