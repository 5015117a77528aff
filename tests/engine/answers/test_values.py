"""Whatever schema a client sends for its tools: answers are read, and calls can be written."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inference.engine.answers.calls import CallFormat, Calls
from inference.engine.answers.gemma import GEMMA_4
from inference.engine.answers.glm import Glm
from inference.engine.answers.invoked import Invoked
from inference.engine.answers.pythonic import LFM
from inference.engine.answers.qwen_coder import QwenCoder
from inference.engine.answers.tagged import TaggedReader
from inference.engine.answers.values import value_of
from inference.protocol import Tool
from tests.engine.answers.readers import read

# A call of note with text "2", as the families write it that look into the schema.
NOTED: dict[CallFormat, str] = {
    QwenCoder(): "<tool_call>\n<function=note>\n<parameter=text>\n2\n</parameter>\n</function>\n</tool_call>",
    Glm(): "<tool_call>note\n<arg_key>text</arg_key>\n<arg_value>2</arg_value>\n</tool_call>",
    Invoked(): '<invoke name="note">\n<parameter name="text">2</parameter>\n</invoke>',
    LFM: '<|tool_call_start|>[note(text="2")]<|tool_call_end|>',
    GEMMA_4: '<|tool_call>call:note{text:<|"|>2<|"|>}<tool_call|>',
}
words = st.sampled_from(["string", "integer", "null", "object", "#/$defs/a", "#/$defs/b", "", "x"])
values = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2) | words,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "anyOf", "oneOf", "enum", "$ref", "text"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@pytest.mark.parametrize("form", NOTED, ids=lambda form: type(form).__name__)
@given(schema=values, definitions=values, required=values)
@example(schema={"type": None}, definitions={}, required=[])
@example(schema={"anyOf": None, "oneOf": None, "enum": None}, definitions=None, required=None)
@example(schema={"enum": 2}, definitions={}, required=[])
def test_no_schema_is_too_odd_to_read_and_to_write(
    form: CallFormat, schema: Any, definitions: Any, required: Any
) -> None:
    parameters = {"properties": {"text": schema}, "$defs": definitions, "required": required}
    note = Tool(name="note", parameters=parameters)
    reader = TaggedReader(None, Calls(form, {"note": note}))
    [(kind, (name, arguments))] = read(reader, [NOTED[form]])
    assert (kind, name) == ("call", "note")
    assert arguments["text"] in ("2", 2)
    assert form.call(note)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "integer"}, 2),
        ({"type": ["integer", "null"]}, 2),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 2),
        ({"type": ["integer", "string"]}, "2"),
        ({"type": None, "anyOf": None}, "2"),
        ({}, "2"),
        (True, "2"),
    ],
)
def test_a_value_is_what_its_schema_says(schema: Any, value: Any) -> None:
    assert value_of("2", schema) == value
