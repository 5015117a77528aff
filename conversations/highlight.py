"""Code to HTML: colours as class names, for a style sheet to fill in.

Knows nothing of Markdown, and nothing of conversations. What it returns is escaped text and
``span`` elements, nothing else.
"""

from __future__ import annotations

import html
import time
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from pygments import format as write  # type: ignore[import-untyped]
from pygments import formatters, lexer, lexers, util

# Lexers are regular expressions in Python: about 1 MB/s at their best.
LONGEST_HIGHLIGHTED = 20_000
LONGEST_LANGUAGE = 40

_FORMATTER = formatters.HtmlFormatter(nowrap=True)


class TooSlowError(Exception):
    """The time for a piece of text is over."""


def highlight_code(code: str, language: str, until: float) -> str:
    """``code`` as HTML; without colours where the language is unknown or the code very long, or where
    this thread's CPU time, as ``time.thread_time`` tells it, gets past ``until``."""
    found = find_lexer(language) if len(code) <= LONGEST_HIGHLIGHTED else None
    if found is None:
        return html.escape(code)
    try:
        return write(_in_time(found.get_tokens(code), until), _FORMATTER)
    except TooSlowError:
        return html.escape(code)


def _in_time(tokens: Iterable[Any], until: float) -> Iterator[Any]:
    for token in tokens:
        if time.thread_time() > until:
            raise TooSlowError
        yield token


@lru_cache(maxsize=256)
def find_lexer(language: str) -> lexer.Lexer | None:
    """The lexer of ``language``. Kept, since Pygments searches all packages for an unknown one."""
    if not language or len(language) > LONGEST_LANGUAGE:
        return None
    try:
        return lexers.get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except util.ClassNotFound:
        return None
