"""Each family's calls, forced upon noise by the grammar, and read back by the family's reader."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import validate

from inference.chat_templates import THOUGHTS
from inference.engine.answers.declared import DeclaredReader
from inference.engine.answers.style import AnswerStyle
from inference.engine.grammar import GrammarBuilder
from inference.engine.row import Row
from inference.engine.rows import DEFAULTS
from inference.engine.sampler import BatchSampler
from inference.errors import InvalidRequest
from inference.protocol import Called, Done, Event, Generate, Message, ModelRef, Options, Text, Thought, Tool
from tests.engine.answers.readers import TOOLS, WEATHER, cuts, read, split
from tests.tiny import tiny_tokenizer

ASK = Tool(
    name="ask",
    parameters={
        "type": "object",
        "properties": {"yes": {"type": "boolean"}, "how": {"$ref": "#/$defs/how"}},
        "required": ["yes", "how"],
        "$defs": {"how": {"enum": ["loud", "quiet"], "type": "string"}},
    },
)
# The marks that a family's template holds, and which of them its tokenizer hides and shows as tokens.
FAMILIES: dict[str, tuple[str, list[str], list[str]]] = {
    "hermes": ("<tool_call>", ["<tool_call>", "</tool_call>"], []),
    "hermes in text": ("<tool_call>", [], []),
    "coder": ("<tool_call><function=<parameter=", ["<tool_call>", "</tool_call>"], []),
    "glm": ("<tool_call><arg_key>", ["<tool_call>", "</tool_call>", "<arg_key>", "</arg_value>"], []),
    "llama": ("<|python_tag|>", [], ["<|python_tag|>", "<|eom_id|>"]),
    "mistral": ("[TOOL_CALLS]", [], ["[TOOL_CALLS]", "[ARGS]"]),
    "mistral named": ("[TOOL_CALLS][ARGS]", [], ["[TOOL_CALLS]", "[ARGS]"]),
    "deepseek": (
        "<｜tool▁calls▁begin｜>",
        ["<｜tool▁calls▁begin｜>", "<｜tool▁sep｜>"],
        ["<｜tool▁call▁end｜>"],
    ),
    "deepseek fenced": ("<｜tool▁calls▁begin｜>```json", ["<｜tool▁call▁begin｜>"], []),
    "kimi": (
        "<|tool_call_begin|>",
        [],
        [
            "<|tool_calls_section_begin|>",
            "<|tool_call_begin|>",
            "<|tool_call_argument_begin|>",
            "<|tool_call_end|>",
        ],
    ),
    "granite": ("<|tool_call|>", [], ["<|tool_call|>"]),
    "seed": ("<seed:tool_call><function=<parameter=", ["<seed:tool_call>"], ["</seed:tool_call>"]),
    "gemma 4": ("<|tool_call>", [], ["<|tool_call>", "<tool_call|>", '<|"|>', "<|tool_response>"]),
    "gemma 4 in text": ("<|tool_call>", [], []),
    "function gemma": (
        "<start_function_call>",
        ["<escape>"],
        ["<start_function_call>", "<end_function_call>"],
    ),
    "minimax": ("<minimax:tool_call>", ["<minimax:tool_call>"], ["</minimax:tool_call>"]),
    "lfm": ("<|tool_list_start|>", [], ["<|tool_call_start|>", "<|tool_call_end|>"]),
    "lfm 2.5": ("<|tool_call_start|>", [], ["<|tool_call_start|>"]),
    "olmo": ("<function_calls>", [], []),
    "nemotron": ("<TOOLCALL>", ["<TOOLCALL>"], []),
    "hunyuan": ("<tool_calls>", [], []),
    "command": ("<|START_ACTION|>", [], ["<|START_ACTION|>", "<|END_ACTION|>"]),
    "harmony": (
        "<|channel|>",
        [],
        ["<|channel|>", "<|message|>", "<|constrain|>", "<|start|>", "<|end|>", "<|call|>"],
    ),
    "unknown": ("", [], []),
    "thinking": ("<tool_call><think>", ["<think>", "</think>", "<tool_call>"], []),
    "thinking gemma": (
        "<|tool_call><channel|>",
        [],
        ["<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>", '<|"|>'],
    ),
}
# Noise thinks for ever, once it has begun.
FREE = [family for family in FAMILIES if family not in {"thinking", "thinking gemma", "harmony"}]
REF = ModelRef(name="tiny/llama", path="")


def ask(**fields: Any) -> Generate:
    fields = {"tools": (WEATHER, ASK), "tool_choice": "required", **fields}
    return Generate(model=REF, messages=(Message(role="user", content="q"),), **fields)


@cache
def model(family: str) -> tuple[Any, AnswerStyle, GrammarBuilder]:
    source, marks, control = FAMILIES[family]
    tokenizer = tiny_tokenizer(source, marks=marks, control=control)
    grammars = GrammarBuilder(tokenizer, len(tokenizer), frozenset({tokenizer.eos_token_id}))
    return tokenizer, AnswerStyle(tokenizer, source), grammars


def noise(family: str, request: Generate, seed: int) -> list[Event]:
    """What a model that says anything at random answers, within what ``request`` asks for."""
    tokenizer, style, grammars = model(family)
    tokens = tokenizer.encode("x")
    rules = style.rules(request, tokens)
    end = tokenizer.eos_token_id
    random = torch.Generator().manual_seed(seed)
    row = Row(
        prompt=tokens,
        options=Options(temperature=1.0, top_k=0, top_p=1.0, seed=seed).over(DEFAULTS),
        limit=1000,
        ends=frozenset({end}),
        decode=rules.decode,
        deliver=lambda events: None,
        grammar=grammars.build(rules.shape),
        reader=rules.reader(),
    )
    sampler = BatchSampler()
    events: list[Event] = []
    while row.stage < 3:
        logits = torch.randn(1, len(tokenizer), generator=random)
        # The end is likely, so that noise ends where it may.
        logits[0, end] += 4.0
        events += row.accept(sampler.draw(logits, [row])[0])
    return events


def calls(events: list[Event]) -> list[Called]:
    return [event for event in events if isinstance(event, Called)]


def texts(events: list[Event], kind: type[Text] | type[Thought] = Text) -> str:
    return "".join(event.text for event in events if isinstance(event, kind))


def check(events: list[Event]) -> None:
    """Calls that validate, and no text but white space."""
    for called in calls(events):
        validate(
            called.call.arguments, {tool.name: tool for tool in (WEATHER, ASK)}[called.call.name].parameters
        )
    assert not texts(events).strip()
    assert isinstance(events[-1], Done)
    assert events[-1].reason == "stop"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("family", FREE)
def test_a_call_that_must_come_comes_and_validates(family: str, seed: int) -> None:
    events = noise(family, ask(), seed)
    assert calls(events)
    check(events)


@pytest.mark.parametrize("family", FREE)
def test_a_named_tool_is_the_one(family: str) -> None:
    for seed in range(2):
        events = noise(family, ask(tool_name="ask"), seed)
        assert {called.call.name for called in calls(events)} == {"ask"}
        check(events)


@pytest.mark.parametrize("family", FREE)
def test_one_call_is_one_call(family: str) -> None:
    for seed in range(4):
        events = noise(family, ask(parallel_tool_calls=False), seed)
        assert len(calls(events)) == 1
        check(events)


def test_several_calls_come_where_they_may() -> None:
    assert any(len(calls(noise("hermes", ask(), seed))) > 1 for seed in range(8)) or any(
        len(calls(noise("mistral", ask(), seed))) > 1 for seed in range(8)
    )


@pytest.mark.parametrize("family", ["hermes", "mistral", "unknown"])
def test_a_format_beside_tools_is_kept_where_nothing_is_called(family: str) -> None:
    schema = json.dumps({"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]})
    kinds = set()
    for seed in range(12):
        events = noise(family, ask(tool_choice="auto", format=schema), seed)
        if calls(events):
            kinds.add("call")
            check(events)
        else:
            kinds.add("text")
            assert set(json.loads(texts(events))) == {"ok"}
    assert "text" in kinds


@pytest.mark.parametrize(
    ("prompt", "opened"), [("a<think>\n", True), ("a<think>\n\n</think>\n\n", False), ("a", False)]
)
def test_a_format_applies_after_the_thought(prompt: str, opened: bool) -> None:
    """The thought is free, and where the prompt has opened it, it has to end first."""
    tokenizer, style, grammars = model("thinking")
    request = ask(tools=(), tool_choice="auto", format='{"enum": [7]}')
    rules = style.rules(request, tokenizer.encode(prompt))
    assert rules.shape.opened == opened
    grammar = grammars.build(rules.shape)
    assert grammar is not None
    letter, seven, closing = (tokenizer.convert_tokens_to_ids(text) for text in ("x", "7", "</think>"))
    allowed = grammar.allowed()
    assert allowed[letter] == opened
    if opened:
        for token in (letter, letter, closing):
            grammar.accept(token)
        assert grammar.allowed()[seven]
        assert not grammar.allowed()[letter]
    grammar.accept(seven)


THOUGHTFUL = {
    "thinking": "<think>Hm.</think>\n\n<tool_call>\n"
    '{"name": "ask", "arguments": {"yes": true, "how": "loud"}}\n</tool_call>',
    "thinking gemma": "<|channel>thought\nHm.\n<channel|><|tool_call>call:ask{yes:true,how:"
    '<|"|>loud<|"|>}<tool_call|>',
    "harmony": "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant"
    "<|channel|>commentary to=functions.ask <|constrain|>json<|message|>"
    '{"yes": true, "how": "loud"}<|call|>',
}


@pytest.mark.parametrize("family", THOUGHTFUL)
def test_a_thought_may_come_before_a_call(family: str) -> None:
    tokenizer, style, grammars = model(family)
    rules = style.rules(ask(), tokenizer.encode("x"))
    grammar = grammars.build(rules.shape)
    reader = rules.reader()
    assert grammar is not None
    assert reader is not None
    events: list[Any] = []
    for token in tokenizer.encode(THOUGHTFUL[family]):
        grammar.accept(token)
        events += reader.push(rules.decode([token]))
    events += reader.finish()
    assert texts(events, Thought) == "Hm."
    assert [called.call.arguments for called in calls(events)] == [{"yes": True, "how": "loud"}]


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"tools": ()}, "has no tools"), ({"tool_name": "fly"}, "'fly', which is not among the tools")],
)
def test_a_choice_that_cannot_be_made_is_refused(fields: dict, message: str) -> None:
    tokenizer = tiny_tokenizer()
    with pytest.raises(InvalidRequest, match=message):
        AnswerStyle(tokenizer, "").rules(ask(**fields), [1])


@pytest.mark.parametrize("parameters", [{"type": "banana"}, {"properties": {"a": {"$ref": "#/nowhere"}}}])
def test_a_schema_of_a_tool_that_cannot_be_followed_is_refused(parameters: dict) -> None:
    with pytest.raises(InvalidRequest, match="not a JSON Schema that can be followed"):
        noise("hermes", ask(tools=(Tool(name="f", parameters=parameters),)), 0)


def test_tools_have_a_size() -> None:
    tools = tuple(
        Tool(name=f"f{index}", parameters={"properties": {"x" * 60_000: {"type": "integer"}}})
        for index in range(5)
    )
    with pytest.raises(InvalidRequest, match="too large"):
        noise("hermes", ask(tools=tools), 0)


def test_a_tool_without_parameters_takes_none() -> None:
    for family in FREE:
        (called,) = calls(noise(family, ask(tools=(Tool(name="now"),), parallel_tool_calls=False), 0))
        assert (called.call.name, called.call.arguments) == ("now", {})


MAYBE = Tool(
    name="maybe",
    parameters={
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "integer", "minimum": 0, "maximum": 9}},
        "additionalProperties": False,
    },
)


@pytest.mark.parametrize("family", FREE)
def test_arguments_need_not_be_given(family: str) -> None:
    for seed in range(3):
        for called in calls(noise(family, ask(tools=(MAYBE,), parallel_tool_calls=False), seed)):
            validate(called.call.arguments, MAYBE.parameters)


def test_without_tools_and_thoughts_all_is_text() -> None:
    tokenizer = tiny_tokenizer(marks=["<tool_call>"])
    rules = AnswerStyle(tokenizer, "<tool_call>").rules(ask(tools=(), tool_choice="auto"), [1])
    assert rules.reader() is None
    assert rules.decode(tokenizer.encode("<tool_call>{}<|im_end|>")) == "<tool_call>{}"


@pytest.mark.parametrize("tags", THOUGHTS)
def test_marks_that_are_control_tokens_reach_the_reader_and_others_do_not(tags: tuple[str, str]) -> None:
    tokenizer = tiny_tokenizer(control=[*tags, "<|odd|>"])
    rules = AnswerStyle(tokenizer, tags[0]).rules(ask(tools=(), tool_choice="auto"), [1])
    text = f"{tags[0]}a<|odd|>{tags[1]}b<|im_end|>"
    assert rules.decode(tokenizer.encode(text)) == f"{tags[0]}a{tags[1]}b"


def test_a_model_that_declares_how_it_is_read_is_read_so() -> None:
    tokenizer = tiny_tokenizer("{{ tools }}")
    tokenizer.response_template = DECLARED
    style = AnswerStyle(tokenizer, "{{ tools }}")
    assert isinstance(style.rules(ask(tool_choice="auto"), [1]).reader(), DeclaredReader)
    assert not isinstance(style.rules(ask(), [1]).reader(), DeclaredReader)


DECLARED = {
    "start_anchor": "<|im_start|>assistant\n",
    "fields": {
        "reasoning_content": {"open": "<ponder>", "close": "</ponder>"},
        "tool_calls": {
            "open": "<call>",
            "close": "</call>",
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": "{content}"},
        },
        "content": {"content": "text"},
    },
}


def declared(
    text: str, *, tools: dict[str, Tool] = TOOLS, prompt: str = "", one: bool = False
) -> list[tuple]:
    whole = read(DeclaredReader(DECLARED, prompt, tools, one=one), [text])
    assert read(DeclaredReader(DECLARED, prompt, tools, one=one), list(text)) == whole
    return whole


CALL = '<call>{"name": "get_weather", "arguments": {"city": "Rome", "days": 1}}</call>'
ROME = ("call", ("get_weather", {"city": "Rome", "days": 1}))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"<ponder>Hm.</ponder>Yes.{CALL}{CALL}", [("thought", "Hm."), ("text", "Yes."), ROME, ROME]),
        ("Yes.", [("text", "Yes.")]),
        ("<ponder>\nHm.\n</ponder>\n\nYes,\n no.\n", [("thought", "Hm."), ("text", "Yes,\n no.")]),
        (f"Yes.\n{CALL}\n{CALL}", [("text", "Yes."), ROME, ROME]),
        ("<call>{broken</call>", [("text", "{broken")]),
        ("Yes.<call></call><call>", [("text", "Yes.")]),
        (
            CALL.replace("get_weather", "fly"),
            [("text", '{"name": "fly", "arguments": {"city": "Rome", "days": 1}}')],
        ),
    ],
)
def test_reading_as_declared(text: str, expected: list[tuple]) -> None:
    assert declared(text) == expected


DECLARED_FRAGMENTS = [
    "<ponder>",
    "</ponder>",
    "<call>",
    "</call>",
    CALL,
    "{",
    "}",
    "[1]",
    "null",
    "x",
    " ",
    "<",
]


@given(st.lists(st.sampled_from(DECLARED_FRAGMENTS), max_size=9).map("".join), cuts, st.booleans())
def test_how_what_is_declared_is_cut_makes_no_difference(text: str, places: list[int], one: bool) -> None:
    whole = declared(text, one=one)
    assert read(DeclaredReader(DECLARED, "", TOOLS, one=one), split(text, places)) == whole


def test_declared_arguments_have_the_types_of_their_schema() -> None:
    """As of models whose arguments are text between tags: transformers is told the tools."""
    template = {
        "start_anchor": "<|im_start|>assistant\n",
        "fields": {
            "tool_calls": {
                "open_pattern": r"<call=(?P<name>\w+)>",
                "close": "</call>",
                "repeats": True,
                "content": "xml-inline",
                "content_args": {"tag_pattern": r"<(?P<key>\w+)>(?P<value>.*?)</\1>"},
                "transform": {"type": "function", "function": {"name": "{name}", "arguments": "{content}"}},
            },
            "content": {"content": "text"},
        },
    }
    text = "<call=get_weather><city>Rome</city><days>1</days></call>"
    assert read(DeclaredReader(template, "", TOOLS), list(text)) == [ROME]


def test_what_the_prompt_has_opened_is_known() -> None:
    prompt = "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n<ponder>\n"
    assert declared("Hm.</ponder>Yes.", prompt=prompt) == [("thought", "Hm."), ("text", "Yes.")]


def test_without_tools_a_declared_call_is_text() -> None:
    assert declared(CALL, tools={}) == [("text", CALL)]


def test_one_declared_call() -> None:
    assert declared(f"{CALL}{CALL}x", one=True) == [ROME]


def test_a_declaration_that_is_none_is_not_used() -> None:
    tokenizer = tiny_tokenizer("{{ tools }}")
    for wrong in ({"fields": {}}, {"fields": {"a": 1}}, {"fields": {"a": {"open_pattern": "("}}}, "text"):
        tokenizer.response_template = wrong
        reader = AnswerStyle(tokenizer, "{{ tools }}").rules(ask(tool_choice="auto"), [1]).reader()
        assert not isinstance(reader, DeclaredReader)


def test_a_template_that_takes_one_call_of_a_message_gets_one() -> None:
    source = "{{ raise_exception('This model only supports single tool-calls at once!') }}"
    reader = AnswerStyle(tiny_tokenizer(), source).rules(ask(tool_choice="auto"), [1]).reader()
    call = '{"name": "get_weather", "parameters": {"city": "Rome", "days": 1}}'
    assert reader is not None
    assert len(reader.push(f"{call}; {call}")) == 1
    assert reader.ended
