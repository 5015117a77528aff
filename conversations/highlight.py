"""Code to HTML: colours as class names, for a style sheet to fill in.

Knows nothing of Markdown, and nothing of conversations. What it returns is escaped text and
``span`` elements, nothing else.
"""

from __future__ import annotations

import html
from functools import lru_cache

from pygments import formatters, highlight, lexer, lexers, util  # type: ignore[import-untyped]

# Lexers are regular expressions in Python: about 1 MB/s at their best.
LONGEST_HIGHLIGHTED = 20_000
LONGEST_LANGUAGE = 40

_FORMATTER = formatters.HtmlFormatter(nowrap=True)


def highlight_code(code: str, language: str) -> str:
    """``code`` as HTML; without colours where the language is unknown or the code very long."""
    found = find_lexer(language) if len(code) <= LONGEST_HIGHLIGHTED else None
    return html.escape(code) if found is None else highlight(code, found, _FORMATTER)


@lru_cache(maxsize=256)
def find_lexer(language: str) -> lexer.Lexer | None:
    """The lexer of ``language``. Kept, since Pygments searches all packages for an unknown one."""
    if not language or len(language) > LONGEST_LANGUAGE:
        return None
    try:
        return lexers.get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except util.ClassNotFound:
        return None
