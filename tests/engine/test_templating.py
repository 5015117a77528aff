"""Hostile chat templates end, whatever they do, and leave what asked for them as it was."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import jinja2
import pytest
from transformers.utils import chat_template_utils

from inference.engine.chat import ChatTemplate
from inference.engine.templating import LEAST_ROOM, IsolatedTemplate, TemplateRenderer
from inference.errors import InvalidRequest
from inference.protocol import Message
from tests.tiny import tiny_tokenizer

LOOPS = "".join("{% for x" + str(n) + " in range(100000) %}" for n in range(4))
ENDS = "{% endfor %}" * 4
DOUBLED = "{% set n = namespace(x='a' * 1000) %}{% for i in range(100) %}"


@pytest.fixture(scope="module")
def renderer() -> Iterator[TemplateRenderer]:
    renderer = TemplateRenderer(seconds=0.3)
    yield renderer
    renderer.close()


@pytest.mark.parametrize(
    "source",
    [
        LOOPS + ENDS,
        LOOPS + "x" + ENDS,
        "{{ 'a' * 10 ** 9 }}",
        "{{ 'a' * 10 ** 12 }}",
        "{% set n = 9 %}{{ n ** (n ** n) }}",
        "{{ 9 ** (9 ** 9) }}",
        "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        DOUBLED + "{% set n.x = n.x ~ n.x %}{% endfor %}",
        DOUBLED + "{% set n.x = n.x + n.x %}{% endfor %}",
        DOUBLED + "{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
        DOUBLED + "{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x | tojson }}",
        DOUBLED + "{% set n.x = n.x.replace('a', 'aa') %}{% endfor %}",
        DOUBLED + "{% set y %}{{ n.x }}{{ n.x }}{% endset %}{% set n.x = y %}{% endfor %}",
        "{{ 'a' | center(10 ** 10) }}",
        "{{ 'a'.rjust(10 ** 10) }}",
        "{{ '\t'.expandtabs(2 ** 31 - 1) }}",
        "{{ '%2000000000d' % 1 }}",
        "{{ '{:2000000000}'.format(1) }}",
        "{{ range(100000) | join('a' * 100000) }}",
        "{{ (range(100000) | list) * 100000 }}",
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
        "{% if 1 %}" * 300 + "{% endif %}" * 300,
    ],
)
def test_a_hostile_template_ends(renderer: TemplateRenderer, source: str) -> None:
    with pytest.raises((InvalidRequest, jinja2.TemplateError)):
        renderer.render(source, {})
    assert renderer.render("{{ text }}", {"text": "well"}) == "well"


def test_what_a_template_writes_may_be_as_long_as_what_it_is_given(renderer: TemplateRenderer) -> None:
    text = "ä" * LEAST_ROOM
    assert renderer.render("{{ text }}{{ text }}", {"text": text}) == text + text
    with pytest.raises(InvalidRequest, match="far more than it is given"):
        renderer.render("{% for i in range(20) %}{{ text }}{% endfor %}", {"text": text})


def test_what_a_template_raises_arrives(renderer: TemplateRenderer) -> None:
    with pytest.raises(jinja2.TemplateError, match="no such role"):
        renderer.render("{{ raise_exception('no such role') }}", {})
    with pytest.raises(TypeError, match="not"):
        renderer.render("{{ 'a' + given }}", {"given": {}})
    with pytest.raises(jinja2.TemplateError, match="unexpected"):
        renderer.render("{{ .Prompt }}", {})


def test_a_process_that_has_died_is_replaced(renderer: TemplateRenderer) -> None:
    renderer.render("a", {})
    process = renderer._processes._places.get()
    assert process is not None
    os.kill(process._process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, process._process.pid, os.WEXITED | os.WNOWAIT)
    renderer._processes._places.put(process)
    assert renderer.render("{{ 1 + 1 }}", {}) == "2"


def test_more_ask_at_once_than_there_are_processes(renderer: TemplateRenderer) -> None:
    with ThreadPoolExecutor(12) as threads:
        texts = threads.map(lambda number: renderer.render("{{ n }}", {"n": number}), range(48))
        assert list(texts) == [str(number) for number in range(48)]


def test_transformers_renders_nothing_here() -> None:
    """Its private place for compiled templates is the only one, and ours is in it."""
    assert isinstance(chat_template_utils._compile_jinja_template("a"), IsolatedTemplate)
    tokenizer = tiny_tokenizer("{{ [strftime_now.__class__] }}{{ messages[0].content }}")
    assert tokenizer.decode(ChatTemplate(tokenizer).render([Message(role="user", content="Hi")], (), None))
    assert chat_template_utils._compile_jinja_template.cache_info().currsize


def test_a_models_own_template_is_held_to_the_limits() -> None:
    template = ChatTemplate(tiny_tokenizer("{{ messages[0].content * 10 ** 9 }}"))
    with pytest.raises(InvalidRequest, match="^The chat template was stopped: it "):
        template.render([Message(role="user", content="Hi")], (), None)
