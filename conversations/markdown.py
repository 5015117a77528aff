"""Markdown to HTML that is safe to show: the one renderer and the one sanitiser.

What a model writes is hostile input. Raw HTML stays text, links lead to http, https and mailto
only, images become links (showing one would tell its server what the model was told), and the
result passes an allow-list. Top-level blocks are rendered one by one, so that a growing text
changes its last block only: see ``conversations.blocks``. That is also why there are no reference
links: a definition at the end would change blocks far above it.

No text may hold up others: a block has so much CPU time, and what is not ready by then is shown as
it was written. Some texts would take the square of their length, in Markdown as in Pygments.

Knows nothing of messages and of how the page shows them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, MutableMapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import nh3
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock, table
from markdown_it.rules_core import StateCore, inline, text_join
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from conversations.highlight import TooSlowError, highlight_code

SCHEMES = {"http", "https", "mailto"}
DEEPEST_HEADING = 6
HEADINGS_ABOVE = 2  # the page's own: its title and "conversation"
# CPU seconds of a block, and of a text that is read again. 300 lines of code take a hundredth.
BLOCK_SECONDS = 0.25
TEXT_SECONDS = 2.0
# Of one table. Short rows are filled up, so beyond a few cells half of them have to be written.
MOST_CELLS = 5000
FEW_CELLS = 100
# How models mark formulas of TeX: what begins one, and what ends it.
FORMULAS = {r"\(": r"\)", r"\[": r"\]", "$$": "$$"}
LONGEST_FORMULA = 2000

TAGS = {
    *("p", "br", "hr", "h3", "h4", "h5", "h6", "blockquote", "div", "span", "button"),
    *("a", "em", "strong", "s", "code", "pre", "ol", "ul", "li"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
ATTRIBUTES = {
    "a": {"href", "title"},
    "button": {"class", "type"},
    "div": {"aria-label", "class", "role", "tabindex"},
    "ol": {"start"},
    "pre": {"tabindex"},
    "span": {"class"},
    "td": {"class"},
    "th": {"class"},
}


class Block(NamedTuple):
    """A top-level block: the line it starts at, its tokens, and what was written."""

    line: int
    tokens: Sequence[Token]
    source: str


class SafeRenderer(RendererHTML):
    """Renders without styles, images and headings that would rival the page's own."""

    def fence(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        language = tokens[idx].info.strip().split(maxsplit=1)[:1]
        return _code(tokens[idx].content, language[0] if language else "", env["until"])

    def code_block(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return _code(tokens[idx].content, "", env["until"])

    def image(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        token = tokens[idx]
        source = str(token.attrGet("src") or "")
        label = escapeHtml(self.renderInlineAsText(token.children or [], options, env) or source)
        in_link = sum(token.type in {"link_open", "link_close"} for token in tokens[:idx]) % 2
        return label if in_link else f'<a href="{escapeHtml(source)}">{label}</a>'

    def heading_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return f"<h{_depth(tokens[idx])}>"

    def heading_close(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return f"</h{_depth(tokens[idx])}>\n"

    def table_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return '<div class="table" tabindex="0" role="group" aria-label="Table"><table>\n'

    def table_close(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return "</table></div>\n"

    def td_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        style = str(tokens[idx].attrGet("style") or "")
        side = style.removeprefix("text-align:")
        return f'<{tokens[idx].tag} class="{side}">' if side else f"<{tokens[idx].tag}>"

    th_open = td_open


def _depth(token: Token) -> int:
    return min(int(token.tag[1:]) + HEADINGS_ABOVE, DEEPEST_HEADING)


def _code(code: str, language: str, until: float) -> str:
    head = f'<span>{escapeHtml(language) or "text"}</span><button type="button" class="copy">Copy</button>'
    return (
        f'<div class="code"><div class="code-head">{head}</div>'
        f'<pre tabindex="0"><code>'
        f"{highlight_code(code, language, until)}</code></pre></div>\n"
    )


def _is_safe_link(url: str) -> bool:
    try:
        return urlsplit(url).scheme.lower() in SCHEMES
    except ValueError:
        return False


def _parser() -> MarkdownIt:
    options = {"html": False, "linkify": False, "typographer": False, "breaks": True, "maxNesting": 60}
    parser = MarkdownIt("commonmark", options, renderer_cls=SafeRenderer)
    parser.enable(["table", "strikethrough"]).disable(["reference", "html_block", "html_inline"])
    parser.validateLink = _is_safe_link  # type: ignore[method-assign]
    parser.core.ruler.disable(["inline", "text_join"])
    parser.inline.ruler.before("text", "in_time", _in_time)
    parser.inline.ruler.before("escape", "formula", _formula)
    parser.block.ruler.at("table", _table, {"alt": ["paragraph", "reference"]})
    return parser


def _in_time(state: StateInline, silent: bool) -> bool:
    """A rule that is asked at every step, and matches nothing."""
    if time.thread_time() > state.env["until"]:
        raise TooSlowError
    return False


def _formula(state: StateInline, silent: bool) -> bool:
    """A formula is shown as it was written: as Markdown, it would lose its backslashes and stars."""
    mark = state.src[state.pos : state.pos + 2]
    if mark not in FORMULAS:
        return False
    last = min(state.posMax, state.pos + LONGEST_FORMULA)
    end = state.src.find(FORMULAS[mark], state.pos + 2, last)
    if end < 0 or not state.src[state.pos + 2 : end].strip():
        return False
    if not silent:
        token = state.push("code_inline", "code", 0)
        token.content = state.src[state.pos : end + 2]
    state.pos = end + 2
    return True


def _table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """As markdown-it's rule, but what would have too many cells stays a paragraph."""
    if start < state.env.get("no_table_before", 0) or not table(state, start, end, True):
        return False
    if silent:
        return True
    after = next((line for line in range(start, end) if state.isEmpty(line)), end)
    columns = state.src.count("|", state.bMarks[start], state.eMarks[start]) + 1
    written = state.src.count("|", state.bMarks[start], state.eMarks[after - 1])
    if columns * (after - start) <= min(MOST_CELLS, FEW_CELLS + 2 * written):
        return table(state, start, end, False)
    # Lines inside could begin one as well, and each would count all that follow.
    state.env["no_table_before"] = after
    return False


_PARSER = _parser()
_CLEANER = nh3.Cleaner(
    tags=TAGS,
    attributes=ATTRIBUTES,
    url_schemes=SCHEMES,
    url_relative="deny",
    link_rel="noopener noreferrer nofollow",
    set_tag_attribute_values={"a": {"target": "_blank"}},
)


def normalize(text: str) -> str:
    """``text`` with one kind of line end."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parse_blocks(text: str) -> Iterator[Block]:
    """The top-level blocks of normalised ``text``, in order."""
    lines = text.split("\n")
    opened: list[Token] = []
    for token in _PARSER.parse(text):
        opened.append(token)
        if token.level == 0 and token.nesting <= 0:
            start, end = opened[0].map or (0, 0)
            yield Block(start, opened, "\n".join(lines[start:end]))
            opened = []


def render_block(block: Block, until: float = math.inf) -> str:
    """``block`` as sanitised HTML; as text if that takes too long, or more CPU time than ``until``."""
    env = {"until": min(until, time.thread_time() + BLOCK_SECONDS)}
    try:
        return _CLEANER.clean(_formatted(block, env))
    except TooSlowError:
        lines = escapeHtml(block.source.rstrip("\n")).replace("\n", "<br>\n")
        return _CLEANER.clean(f"<p>{lines}</p>\n")


def _formatted(block: Block, env: MutableMapping[str, Any]) -> str:
    state = StateCore("", _PARSER, env, [*block.tokens])
    inline(state)
    text_join(state)
    return _PARSER.renderer.render(state.tokens, _PARSER.options, env)


@lru_cache(maxsize=1024)
def render_blocks(text: str) -> tuple[str, ...]:
    """The whole of ``text``, block by block. Remembered, since history is read again and again."""
    until = time.thread_time() + TEXT_SECONDS
    return tuple(render_block(block, until) for block in parse_blocks(normalize(text)))
