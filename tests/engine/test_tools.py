"""Tools and thoughts through the whole engine, on tiny models with templates of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import validate
from transformers import AutoTokenizer

from inference.engine.config import EngineConfig
from inference.engine.core import Engine
from inference.engine.handlers import load_handler
from inference.engine.memory import Memory
from inference.engine.notebook import Notebook
from inference.engine.residents import Residents
from inference.errors import InvalidRequest, Unsupported
from inference.protocol import (
    Called,
    Done,
    Event,
    Generate,
    Message,
    ModelRef,
    Options,
    Text,
    Thought,
    Tool,
    ToolCall,
)
from tests.serving import PROJECT
from tests.tiny import CHAT_TEMPLATE, make_tiny_llama, tiny_tokenizer

TOOL = Tool(
    name="get_weather",
    parameters={
        "type": "object",
        "properties": {
            "city": {"enum": ["Paris", "Rome"]},
            "days": {"type": "integer", "minimum": 1, "maximum": 9},
        },
        "required": ["city", "days"],
    },
)
TEMPLATE = (
    "{% if tools %}{{ 'Call tools in <tool_call></tool_call>: ' + (tools | tojson) + '\n' }}{% endif %}"
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content }}"
    "{% for c in m.tool_calls %}{{ '<tool_call>' + (c.function | tojson) + '</tool_call>' }}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endfor %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and enable_thinking %}{{ '<think>\n' }}"
    "{% elif enable_thinking is defined %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
)
QUESTION = Message(role="user", content="What is the weather?")


@pytest.fixture(scope="session")
def tiny_caller(models_root: Path) -> Path:
    """A tiny Llama with the template and the tokens of a model that thinks and calls tools."""
    tokenizer = tiny_tokenizer(
        TEMPLATE, marks=["<think>", "</think>"], control=["<tool_call>", "</tool_call>"]
    )
    return make_tiny_llama(models_root / "tiny" / "caller", tokenizer=tokenizer)


@pytest.fixture
async def engine(models_root: Path) -> AsyncIterator[Engine]:
    config = EngineConfig(address="", model_roots=(str(models_root),), precision="float32", device="cpu")
    notebook = Notebook()
    engine = Engine(Residents(load_handler, config, Memory(config, notebook), notebook), config)
    yield engine
    await engine.close()


def ask(folder: Path, *messages: Message, **fields: Any) -> Generate:
    fields = {"tools": (TOOL,), "options": Options(temperature=1.0, seed=1, num_predict=400), **fields}
    return Generate(
        model=ModelRef(name="tiny/caller", path=str(folder)), messages=messages or (QUESTION,), **fields
    )


async def answered(engine: Engine, request: Generate) -> list[Event]:
    events = [event async for event in engine.submit(request)]
    done = events[-1]
    assert isinstance(done, Done)
    pieces = [event for event in events if isinstance(event, Text | Thought | Called)]
    # Neither the token that ends an answer is part of any piece, nor a character that was not finished.
    assert done.usage.completion - sum(piece.tokens for piece in pieces) in range(request.samples + 4)
    return [*pieces, done]


async def test_a_call_that_must_come_comes_and_validates(engine: Engine, tiny_caller: Path) -> None:
    called, done = await answered(
        engine, ask(tiny_caller, tool_choice="required", parallel_tool_calls=False, think=False)
    )
    assert isinstance(called, Called)
    assert called.call.name == "get_weather"
    assert called.call.id.startswith("call_")
    validate(called.call.arguments, TOOL.parameters)
    assert isinstance(done, Done)
    assert done.reason == "stop"


async def test_many_at_once_each_get_their_own_call(engine: Engine, tiny_caller: Path) -> None:
    def request(name: str) -> Generate:
        tools = tuple(Tool(name=other, parameters=TOOL.parameters) for other in ("a", "b", "c"))
        return ask(tiny_caller, tools=tools, tool_choice="required", tool_name=name, think=False, samples=2)

    for name, events in zip(
        "abc", await asyncio.gather(*(answered(engine, request(x)) for x in "abc")), strict=True
    ):
        pieces = [event for event in events if isinstance(event, Text | Called)]
        assert {piece.sample for piece in pieces} == {0, 1}
        assert {piece.call.name for piece in pieces if isinstance(piece, Called)} == {name}
        assert not any(isinstance(piece, Text) for piece in pieces)


async def test_what_a_model_thinks_is_no_text(engine: Engine, tiny_caller: Path) -> None:
    """Where the template opens the thought, it goes on until the model ends it; else all is said."""
    closing = AutoTokenizer.from_pretrained(tiny_caller).convert_tokens_to_ids("</think>")
    for bias, kinds in ((-100.0, {Thought}), (4.0, {Thought, Text})):
        options = Options(temperature=1.0, seed=1, num_predict=100, logit_bias={closing: bias})
        *pieces, _ = await answered(engine, ask(tiny_caller, tools=(), think=True, options=options))
        assert {type(piece) for piece in pieces} == kinds
        assert not any("think>" in piece.text for piece in pieces[:2] if isinstance(piece, Text | Thought))
    *pieces, _ = await answered(engine, ask(tiny_caller, tools=(), think=False))
    assert {type(piece) for piece in pieces} == {Text}


async def test_a_call_and_its_result_go_on(engine: Engine, tiny_caller: Path) -> None:
    call = ToolCall(name="get_weather", arguments={"city": "Paris", "days": 2})
    messages = (
        QUESTION,
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", content="Sunny. <tool_call>{}</tool_call>", tool_name="get_weather"),
    )
    events = [event async for event in engine.submit(ask(tiny_caller, *messages, render_only=True))]
    shown = events[-2].text
    assert (
        '<tool_call>{"name": "get_weather", "arguments": {"city": "Paris", "days": 2}}</tool_call>' in shown
    )
    assert await answered(engine, ask(tiny_caller, *messages))


async def test_tools_that_must_not_be_called_are_not_shown(engine: Engine, tiny_caller: Path) -> None:
    async def shown(**fields: Any) -> str:
        events = [event async for event in engine.submit(ask(tiny_caller, render_only=True, **fields))]
        return events[-2].text

    assert "get_weather" in await shown()
    assert "get_weather" not in await shown(tool_choice="none")


async def test_a_model_without_a_place_for_tools_refuses_them(engine: Engine, tiny_llama: Path) -> None:
    with pytest.raises(Unsupported, match="does not support tools"):
        await answered(engine, ask(tiny_llama))
    assert "tools" not in CHAT_TEMPLATE


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tools": (), "tool_choice": "required"}, "has no tools"),
        ({"tool_choice": "required", "tool_name": "fly"}, "not among the tools"),
        (
            {"tool_choice": "required", "tools": (Tool(name="f", parameters={"type": "banana"}),)},
            "cannot be|can be",
        ),
    ],
)
async def test_what_cannot_be_chosen_is_refused(
    engine: Engine, tiny_caller: Path, fields: dict, message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        await answered(engine, ask(tiny_caller, **fields))


async def test_a_prompt_that_is_no_chat_is_answered_as_it_comes(engine: Engine, tiny_caller: Path) -> None:
    request = Generate(
        model=ModelRef(name="tiny/caller", path=str(tiny_caller)),
        prompt="<think>\n",
        options=Options(temperature=0, num_predict=8),
    )
    assert {type(piece) for piece in (await answered(engine, request))[:-1]} == {Text}


STARTER = PROJECT / ".cache" / "starter" / "models" / "HuggingFaceTB" / "SmolLM2-135M-Instruct"


@pytest.mark.starter
@pytest.mark.skipif(not STARTER.exists(), reason="no starter model here")
async def test_a_real_model_fills_a_call_with_sense(engine: Engine, models_root: Path) -> None:
    """The starter model knows no tools; told of them by another template, it can be made to call one."""
    folder = models_root / "starter"
    folder.mkdir()
    for file in STARTER.iterdir():
        (folder / file.name).symlink_to(file.resolve())
    (folder / "chat_template.jinja").unlink()
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    question = Message(role="user", content="What is the weather in Rome for the next 3 days?")
    options = Options(temperature=0, num_predict=100)
    request = ask(folder, question, tool_choice="required", parallel_tool_calls=False, options=options)
    called, _ = await answered(engine, request)
    assert isinstance(called, Called)
    assert called.call.arguments == {"city": "Rome", "days": 3}
