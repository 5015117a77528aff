"""Stop strings: an answer ends before any of them, even where one spans several tokens.

Text that may be the beginning of a stop string is held back until the next text decides. Pure
Python over strings.
"""

from __future__ import annotations

from collections.abc import Sequence


class StopStrings:
    """Watches one answer for the first occurrence of any of ``stops``."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.found = ""
        """The stop string that has come; empty until then."""

    def push(self, text: str) -> str:
        """The part of what came so far that can be shown; sets ``found`` at a stop string."""
        text = self._held + text
        found = [(index, stop) for stop in self._stops if (index := text.find(stop)) >= 0]
        if found:
            at, self.found = min(found)
            self._held = ""
            return text[:at]
        keep = self._longest_beginning(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """What was held back, now that no more text comes."""
        held, self._held = self._held, ""
        return held

    def _longest_beginning(self, text: str) -> int:
        """Length of the longest end of ``text`` with which a stop string begins."""
        longest = min(len(text), max(map(len, self._stops), default=1) - 1)
        for size in range(longest, 0, -1):
            if any(stop.startswith(text[-size:]) for stop in self._stops):
                return size
        return 0
