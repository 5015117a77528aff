"""From tokens to text, one token at a time, whole characters only.

A token can hold a part of a character, and its text can depend on the token before it (a leading
space). So each step decodes a short window twice, without and with the new token, and hands out
the difference. A character that is not complete decodes to U+FFFD at the end of the window: it is
held back until the next token completes it, and dropped if none comes. The window technique is
that of Hugging Face's text streamers and of vLLM's detokenizer.

Pure Python over a decoding function; knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Callable

REPLACEMENT = "\ufffd"
# A character has at most 4 bytes and a token at least one: what is still broken after this many
# tokens is not a character, and is let out but for its last, perhaps unfinished, part.
MOST_HELD = 8
# Tokens of the longest window: only of bytes that are no characters does it come to so many.
LONGEST_WINDOW = 64


class Detokenizer:
    """Turns the tokens of one answer into text as they come."""

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._tokens: list[int] = []
        self._start = 0
        self._read = 0
        self._sent = ""

    def push(self, token: int) -> str:
        """The text that ``token`` completes; empty while a character is unfinished."""
        self._tokens.append(token)
        text = self._decode(self._tokens[self._start :])
        if not text.endswith(REPLACEMENT):
            return self._hand_out(text)
        if len(self._tokens) - self._read >= MOST_HELD:
            return self._hand_out_broken(text)
        return ""

    def _hand_out(self, text: str) -> str:
        """All of the window; the next window begins at the tokens that are new in this one."""
        fresh = text[len(self._sent) :]
        self._start, self._read = self._read, len(self._tokens)
        self._sent = self._decode(self._tokens[self._start :])
        return fresh

    def _hand_out_broken(self, text: str) -> str:
        """All but the last replacement character, whose bytes may yet become a character."""
        fresh = text[len(self._sent) : -1]
        if len(self._tokens) - self._start > LONGEST_WINDOW:
            self._start = self._read = len(self._tokens) - MOST_HELD
            text = self._decode(self._tokens[self._start :])
        self._sent = text.removesuffix(REPLACEMENT)
        return fresh
