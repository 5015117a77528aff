from __future__ import annotations

import pytest

from inference.chat_jinja import LONGEST_TEMPLATE
from inference.chat_templates import (
    Infill,
    Tags,
    infill_tokens,
    takes_tools,
    thinks,
    thought_tags,
    variables,
)

PLAIN = "{% for message in messages %}{{ message['role'] + message['content'] }}{% endfor %}"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (PLAIN, False),
        ("{% if tools %}{{ tools | tojson }}{% endif %}", True),
        # Mistral's and DeepSeek's way: a variable that is set where it was not given.
        ("{%- if not tools is defined %}{%- set tools = none %}{%- endif %}{{ tools }}", True),
        # The text of a template, or another variable, says nothing.
        ("There are no tools.{% for m in messages %}{{ m.tool_calls }}{% endfor %}", False),
        ("{% set tools = [] %}{% for tool in tools %}{{ tool }}{% endfor %}", False),
        ("{% generation %}{{ tools }}{% endgeneration %}", True),
        ("{% for m in messages %}{% if m %}{% break %}{% endif %}{% endfor %}{{ tools }}", True),
        ("{% if", False),
        ("", False),
    ],
)
def test_tools_are_taken_where_the_template_reads_them(source: str, expected: bool) -> None:
    assert takes_tools(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (PLAIN, False),
        ("{% if enable_thinking is defined and enable_thinking is false %}x{% endif %}", True),
        ("{% if not thinking is defined %}{% set thinking = false %}{% endif %}{{ thinking }}", True),
        ("{% for message in messages %}{{ message.thinking }}{% endfor %}", False),
        ("{{ 'Reasoning: ' + reasoning_effort }}", True),
        ("{{ '<|im_start|>assistant\n<think>\n' }}", True),
        ("{{ content.split('</think>')[-1] }}", True),
        ("{{ '[THINK]' }}", True),
        ("{{ '<|start|>assistant<|channel|>final<|message|>' }}", True),
        ("Think well.", False),
    ],
)
def test_thinking_is_seen_by_its_switch_or_by_its_marks(source: str, expected: bool) -> None:
    assert thinks(source) == expected


def test_the_marks_of_thoughts() -> None:
    assert thought_tags("x</think>y") == Tags("<think>", "</think>")
    assert thought_tags("x[/THINK]y") == Tags("[THINK]", "[/THINK]")
    assert thought_tags(PLAIN) is None


def test_a_model_fills_in_with_all_three_tokens_only() -> None:
    whole = {"<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<fim_pad>"}
    assert infill_tokens(whole) == Infill("<fim_prefix>", "<fim_suffix>", "<fim_middle>")
    assert infill_tokens(whole - {"<fim_suffix>"}) is None


def test_a_template_that_is_too_long_or_too_deep_says_nothing() -> None:
    assert variables("{{ tools }}" + " " * LONGEST_TEMPLATE) == frozenset()
    assert variables("{{ " + "(" * 5000 + "tools" + ")" * 5000 + " }}") == frozenset()
