"""Templates are parsed without running any of them, and mean what they mean to transformers."""

from __future__ import annotations

from typing import Any

import jinja2
import pytest
from transformers.utils.chat_template_utils import _cached_compile_jinja_template

from inference.chat_jinja import reading, rendering
from inference.chat_templates import variables

MESSAGES = [
    {"role": "user", "content": "<b> ä 'x'"},
    {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]},
]


@pytest.mark.parametrize(
    "constant",
    [
        "9 ** (9 ** 9)",
        "'a' * 10 ** 12",
        "'a' | center(10 ** 12)",
        "'%1000000000000d' % 1",
        "- (9 ** (9 ** 9))",
    ],
)
def test_what_is_constant_is_not_computed_where_a_template_is_only_read(constant: str) -> None:
    assert variables("{{ " + constant + " }}{{ tools }}") == {"tools"}
    assert variables("{% if " + constant + " is odd %}{{ tools }}{% endif %}") == {"tools"}


def test_what_reads_cannot_render() -> None:
    with pytest.raises(AssertionError):
        reading().from_string("{{ messages | tojson }}").render(messages=[])


@pytest.mark.parametrize(
    "source",
    [
        "{% for m in messages %}\n  {%- if loop.first %}\n  {{ m.content }}\n  {% endif %}\n{% endfor %}",
        "{{ messages | tojson }}{{ messages | tojson(indent=2) }}{{ messages | tojson(sort_keys=true) }}",
        "{{ messages | tojson(ensure_ascii=true) }}{{ [1, 2] | tojson(separators=(',', ':')) }}",
        "{% set ns = namespace(a=1) %}{% for m in messages %}{% set ns.a = ns.a + 1 %}{% endfor %}{{ ns.a }}",
        "{{ dict(a=1, b=2) | tojson }}{{ dict.fromkeys(['a'], 3) | tojson }}",
        "{% for m in messages %}{% if not loop.first %}{% break %}{% endif %}{{ m.role }}{% endfor %}",
        "{% generation %}{{ messages[0].role }}{% endgeneration %}|{{ strftime_now('%Y-%m') }}",
        "{% macro f(x) %}[{{ x }}]{% endmacro %}{{ f('a') ~ f(none) }}{{ nothing }}{{ 7 // 2 * 1.5 }}",
        "{{ 'a,b'.split(',') | join('-') | upper }}{{ messages | map(attribute='role') | list }}",
        "{{ messages[1].tool_calls is defined and messages[0].tool_calls is not defined }}",
    ],
)
def test_a_template_writes_what_transformers_writes(source: str) -> None:
    ours = rendering().from_string(source).render(messages=MESSAGES)
    assert ours and ours == _cached_compile_jinja_template(source).render(messages=MESSAGES)


@pytest.mark.parametrize(
    "source",
    [
        "{{ raise_exception('no such role') }}",
        "{{ namespace(_a=1) }}",
        "{% set ns = namespace() %}{% set ns._a = 1 %}",
        "{{ messages.append(1) }}",
        "{{ ''.__class__.mro() }}",
        "{{ dict.mro() }}",
    ],
)
def test_what_transformers_refuses_is_refused(source: str) -> None:
    errors: list[Any] = []
    for template in (rendering().from_string(source), _cached_compile_jinja_template(source)):
        with pytest.raises(jinja2.TemplateError) as raised:
            template.render(messages=[])
        errors.append(raised.type)
    assert errors[0] is errors[1]
