"""The starter model told of tools by a template of the docs: as by its own where there are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from inference.chat_jinja import rendering
from inference.chat_templates import takes_tools, thinks

TEMPLATE = Path(__file__).parents[1].joinpath("docs/smollm2-tools.jinja").read_text()
SMOL = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
ASKED = {"role": "user", "content": "Köln?"}


def rendered(*messages: dict[str, Any], tools: list[Any] | None = None, answer: bool = True) -> str:
    template = rendering().from_string(TEMPLATE)
    return template.render(messages=messages, tools=tools, add_generation_prompt=answer)


@pytest.mark.parametrize("tools", [None, []])
def test_without_tools_nothing_is_said_of_them(tools: list[Any] | None) -> None:
    """The texts are what the model's own template renders."""
    question = "<|im_start|>user\nKöln?<|im_end|>\n"
    assert rendered(ASKED, tools=tools) == f"{SMOL}<|im_end|>\n{question}<|im_start|>assistant\n"
    system = {"role": "system", "content": "Be brief."}
    answered = {"role": "assistant", "content": "Rain."}
    assert rendered(system, ASKED, answered, tools=tools, answer=False) == (
        f"<|im_start|>system\nBe brief.<|im_end|>\n{question}<|im_start|>assistant\nRain.<|im_end|>\n"
    )


def test_tools_stand_in_the_system_message_once() -> None:
    for messages, opening in (
        ([ASKED], SMOL),
        ([{"role": "system", "content": "Be brief."}, ASKED], "<|im_start|>system\nBe brief."),
    ):
        text = rendered(*messages, tools=[WEATHER])
        system, _, rest = text.partition("<|im_end|>")
        assert system.startswith(f"{opening}\n\n# Tools\n\nTo call")
        (line,) = system.partition("<tools>\n")[2].removesuffix("\n</tools>").split("\n")
        assert json.loads(line) == WEATHER
        assert rest == "\n<|im_start|>user\nKöln?<|im_end|>\n<|im_start|>assistant\n"


def test_calls_and_results_are_told() -> None:
    call = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Köln"}}}
    text = rendered(
        ASKED,
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "Rain."},
        tools=[WEATHER],
    )
    assert (
        '<|im_start|>assistant\n\n<tool_call>\n{"name": "weather", "arguments": {"city": "Köln"}}\n'
        "</tool_call><|im_end|>\n<|im_start|>tool\nRain.<|im_end|>\n<|im_start|>assistant\n"
    ) in text


def test_it_gives_the_model_tools_and_no_thoughts() -> None:
    assert takes_tools(TEMPLATE)
    assert not thinks(TEMPLATE)
