from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.chat_templates import Tags
from inference.engine.answers.calls import CallFormat, Calls
from inference.engine.answers.deepseek import DeepSeek, DeepSeekFenced
from inference.engine.answers.gemma import FUNCTION_GEMMA, GEMMA_4, Gemma
from inference.engine.answers.glm import Glm
from inference.engine.answers.harmony import HarmonyReader
from inference.engine.answers.hermes import Hermes
from inference.engine.answers.invoked import Invoked
from inference.engine.answers.kimi import Kimi
from inference.engine.answers.lists import COMMAND, HUNYUAN, NEMOTRON, Granite
from inference.engine.answers.mistral import MistralList, MistralNamed
from inference.engine.answers.plain import Plain
from inference.engine.answers.pythonic import LFM, OLMO
from inference.engine.answers.qwen_coder import QwenCoder
from inference.engine.answers.tagged import TaggedReader
from inference.engine.answers.thoughts import Thoughts
from inference.engine.answers.wrapped import Wrapping
from tests.engine.answers.readers import TOOLS, Reader, cuts, read, split

PARIS = ("call", ("get_weather", {"city": "Paris", "days": 2}))
ROME = ("call", ("get_weather", {"city": "Rome", "days": 1}))
PARIS_JSON = '{"city": "Paris", "days": 2}'
ROME_JSON = '{"city": "Rome", "days": 1}'


def named(arguments: str, key: str = "arguments", name: str = "get_weather") -> str:
    return f'{{"name": "{name}", "{key}": {arguments}}}'


def tagged(form: CallFormat, *, one: bool = False) -> TaggedReader:
    return TaggedReader(Thoughts(Tags("<think>", "</think>"), opened=False), Calls(form, TOOLS, one=one))


def hermes(arguments: str) -> str:
    return f"<tool_call>\n{named(arguments)}\n</tool_call>"


def coder(city: str, days: int, outer: str = "tool_call") -> str:
    parameters = f"<parameter=city>\n{city}\n</parameter>\n<parameter=days>\n{days}\n</parameter>\n"
    return f"<{outer}>\n<function=get_weather>\n{parameters}</function>\n</{outer}>"


def gemma(form: Gemma, city: str, days: int) -> str:
    quote = form.strays[1]
    return f"{form.openings[0]}call:get_weather{{city:{quote}{city}{quote},days:{days}}}{form.strays[0]}"


def invoked(city: str, days: int) -> str:
    parameters = f'<parameter name="city">{city}</parameter>\n<parameter name="days">{days}</parameter>\n'
    return f'<invoke name="get_weather">\n{parameters}</invoke>\n'


def python(city: str, days: int) -> str:
    return f"get_weather(city='{city}', days={days})"


def cohere(arguments: str, number: int) -> str:
    return f'{{"tool_call_id": "{number}", "tool_name": "get_weather", "parameters": {arguments}}}'


def glm(city: str, days: int) -> str:
    pairs = {"city": city, "days": days}.items()
    lines = [f"<arg_key>{key}</arg_key>\n<arg_value>{value}</arg_value>\n" for key, value in pairs]
    return f"<tool_call>get_weather\n{''.join(lines)}</tool_call>"


def deep(arguments: str) -> str:
    return f"<｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{arguments}<｜tool▁call▁end｜>"


def fenced(arguments: str) -> str:
    body = f"get_weather\n```json\n{arguments}\n```"
    return f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>{body}<｜tool▁call▁end｜>"


def kimi(arguments: str, number: int = 0) -> str:
    id_ = f"functions.get_weather:{number}"
    return f"<|tool_call_begin|>{id_}<|tool_call_argument_begin|>{arguments}<|tool_call_end|>"


def channel(arguments: str) -> str:
    head = "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>"
    return f"{head}{arguments}<|call|>"


MAKERS: dict[str, Callable[[], Reader]] = {
    "hermes": lambda: tagged(Hermes()),
    "coder": lambda: tagged(QwenCoder()),
    "glm": lambda: tagged(Glm()),
    "plain": lambda: tagged(Plain()),
    "mistral": lambda: tagged(MistralList()),
    "mistral named": lambda: tagged(MistralNamed()),
    "deepseek": lambda: tagged(DeepSeek()),
    "deepseek fenced": lambda: tagged(DeepSeekFenced()),
    "kimi": lambda: tagged(Kimi()),
    "granite": lambda: tagged(Granite()),
    "phi": lambda: tagged(Granite()),
    "seed": lambda: tagged(QwenCoder("seed:tool_call")),
    "gemma 4": lambda: tagged(GEMMA_4),
    "function gemma": lambda: tagged(FUNCTION_GEMMA),
    "minimax": lambda: tagged(Invoked()),
    "lfm": lambda: tagged(LFM),
    "lfm in json": lambda: tagged(LFM),
    "olmo": lambda: tagged(OLMO),
    "python": lambda: tagged(Plain()),
    "nemotron": lambda: tagged(NEMOTRON),
    "hunyuan": lambda: tagged(HUNYUAN),
    "command": lambda: tagged(COMMAND),
    "harmony": lambda: HarmonyReader(TOOLS),
}
# Two calls, as each family writes them.
TWO = {
    "hermes": f"{hermes(PARIS_JSON)}\n{hermes(ROME_JSON)}",
    "coder": f"{coder('Paris', 2)}\n{coder('Rome', 1)}",
    "glm": f"{glm('Paris', 2)}\n{glm('Rome', 1)}",
    "plain": f"{named(PARIS_JSON, 'parameters')}; {named(ROME_JSON, 'parameters')}",
    "mistral": f"[TOOL_CALLS] [{named(PARIS_JSON)}, {named(ROME_JSON)}]",
    "mistral named": f"[TOOL_CALLS]get_weather[ARGS]{PARIS_JSON}"
    f"[TOOL_CALLS]get_weather[CALL_ID]a1[ARGS]{ROME_JSON}",
    "deepseek": f"<｜tool▁calls▁begin｜>{deep(PARIS_JSON)}{deep(ROME_JSON)}<｜tool▁calls▁end｜>",
    "deepseek fenced": f"<｜tool▁calls▁begin｜>{fenced(PARIS_JSON)}\n{fenced(ROME_JSON)}<｜tool▁calls▁end｜>",
    "kimi": f"<|tool_calls_section_begin|>{kimi(PARIS_JSON)}{kimi(ROME_JSON, 1)}<|tool_calls_section_end|>",
    "granite": f"<|tool_call|>[{named(PARIS_JSON)}, {named(ROME_JSON)}]",
    "phi": f"<|tool_call|>{named(PARIS_JSON)}<|/tool_call|><|tool_call|>{named(ROME_JSON)}<|/tool_call|>",
    "seed": f"{coder('Paris', 2, 'seed:tool_call')}\n{coder('Rome', 1, 'seed:tool_call')}",
    "gemma 4": f"{gemma(GEMMA_4, 'Paris', 2)}{gemma(GEMMA_4, 'Rome', 1)}<|tool_response>",
    "function gemma": gemma(FUNCTION_GEMMA, "Paris", 2)
    + gemma(FUNCTION_GEMMA, "Rome", 1)
    + "<start_function_response>",
    "minimax": f"<minimax:tool_call>\n{invoked('Paris', 2)}{invoked('Rome', 1)}</minimax:tool_call>",
    "lfm": f"<|tool_call_start|>[{python('Paris', 2)}, {python('Rome', 1)}]<|tool_call_end|>",
    "lfm in json": f"<|tool_call_start|>[{named(PARIS_JSON)}, {named(ROME_JSON)}]<|tool_call_end|>",
    "olmo": f"<function_calls>\n{python('Paris', 2)}\n{python('Rome', 1)}\n</function_calls>",
    "python": f"[{python('Paris', 2)}, {python('Rome', 1)}]",
    "nemotron": f"<TOOLCALL>[{named(PARIS_JSON)}, {named(ROME_JSON)}]</TOOLCALL>",
    "hunyuan": f"<tool_calls>\n[{named(PARIS_JSON)}, {named(ROME_JSON)}]\n</tool_calls>",
    "command": f"<|START_ACTION|>[\n{cohere(PARIS_JSON, 0)},\n{cohere(ROME_JSON, 1)}\n]<|END_ACTION|>",
    "harmony": f"{channel(PARIS_JSON)}<|start|>assistant{channel(ROME_JSON)}",
}
# A thought, text, and a call.
MIXED = {
    name: f"<think>\nHm.\n</think>\n\nLet me see.\n\n{text}"
    for name, text in TWO.items()
    if name not in {"plain", "python", "harmony"}
} | {
    "harmony": "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary<|message|>"
    f"Let me see.<|end|><|start|>assistant{TWO['harmony']}"
}


@pytest.mark.parametrize("name", MAKERS)
def test_two_calls_in_one_answer(name: str) -> None:
    assert read(MAKERS[name](), [TWO[name]]) == [PARIS, ROME]
    assert read(MAKERS[name](), list(TWO[name])) == [PARIS, ROME]


@pytest.mark.parametrize("name", MIXED)
def test_thought_text_and_calls(name: str) -> None:
    expected = [("thought", "Hm."), ("text", "Let me see."), PARIS, ROME]
    assert read(MAKERS[name](), [MIXED[name]]) == expected
    assert read(MAKERS[name](), list(MIXED[name])) == expected


@given(st.sampled_from(sorted(MIXED)), cuts)
def test_how_an_answer_is_cut_makes_no_difference(name: str, places: list[int]) -> None:
    expected = [("thought", "Hm."), ("text", "Let me see."), PARIS, ROME]
    assert read(MAKERS[name](), split(MIXED[name], places)) == expected


FRAGMENTS = {
    "hermes": [
        "<tool_call>",
        "</tool_call>",
        named(PARIS_JSON),
        "{",
        "}",
        '"',
        "\\",
        "x",
        " ",
        "\n",
        "<",
        "é",
    ],
    "coder": [
        "<tool_call>",
        "</tool_call>",
        "<function=note>",
        "</function>",
        "<parameter=text>",
        "</parameter>",
        "x",
        "\n",
        "<",
    ],
    "glm": [
        "<tool_call>",
        "</tool_call>",
        "note",
        "<arg_key>text</arg_key>",
        "<arg_value>",
        "</arg_value>",
        "\n",
        "<",
    ],
    "plain": [named(PARIS_JSON), "<|python_tag|>", "<|eom_id|>", ";", "{", "}", "[", "]", '"', "x", " ", "<"],
    "mistral": [
        "[TOOL_CALLS]",
        "get_weather",
        "[ARGS]",
        PARIS_JSON,
        f"[{named(PARIS_JSON)}]",
        "[",
        "{",
        "}",
        "x",
    ],
    "deepseek": [
        deep(PARIS_JSON),
        fenced(ROME_JSON),
        "<｜tool▁sep｜>",
        "<｜tool▁call▁begin｜>",
        "<",
        "x",
        " ",
    ],
    "kimi": [
        kimi(PARIS_JSON),
        "<|tool_calls_section_end|>",
        "<|tool_call_begin|>",
        "<|tool_call_argument_begin|>",
        ":0",
        "<",
        "x",
        " ",
    ],
    "granite": ["<|tool_call|>", "<tool_call>", f"[{named(PARIS_JSON)}]", "[", "{", "}", "x", "<"],
    "gemma 4": [
        gemma(GEMMA_4, "Rome", 1),
        "<|tool_call>",
        "<tool_call|>",
        '<|"|>',
        "call:note{",
        "text:",
        "}",
        "<|tool_response>",
        "x",
        "<",
        " ",
    ],
    "minimax": [
        invoked("Rome", 1),
        "<minimax:tool_call>",
        "</minimax:tool_call>",
        '<invoke name="note">',
        "</invoke>",
        '<parameter name="text">',
        "</parameter>",
        "x",
        "<",
        " ",
    ],
    "lfm": [
        "<|tool_call_start|>",
        "<|tool_call_end|>",
        f"[{python('Rome', 1)}]",
        "note(text=",
        "'",
        '"',
        ")",
        "[",
        "x",
        "<",
        " ",
    ],
    "olmo": [
        "<function_calls>",
        "</function_calls>",
        python("Rome", 1),
        "note(",
        "text=",
        "'",
        ")",
        "x",
        "\n",
    ],
    "python": [f"[{python('Rome', 1)}]", "[note(", "text=", "'x'", '"', ")", "]", "(", "{", "x", " "],
    "nemotron": ["<TOOLCALL>", "</TOOLCALL>", f"[{named(PARIS_JSON)}]", "[", "{", "}", '"', "x", "<", " "],
    "harmony": [
        channel(PARIS_JSON),
        "<|channel|>final<|message|>",
        "<|start|>",
        "<|end|>",
        "<",
        "x",
        " ",
        "{",
    ],
}
answers = st.sampled_from(sorted(FRAGMENTS)).flatmap(
    lambda name: st.tuples(
        st.just(name), st.lists(st.sampled_from(FRAGMENTS[name]), max_size=10).map("".join)
    )
)


@given(answers, cuts)
def test_not_even_in_what_no_model_should_write(answer: tuple[str, str], places: list[int]) -> None:
    name, text = answer
    whole = read(MAKERS[name](), [text])
    assert read(MAKERS[name](), split(text, places)) == whole
    assert read(MAKERS[name](), list(text)) == whole


MARKS = {
    "hermes": Hermes().marks,
    "coder": ("<tool_call>", "</tool_call>"),
    "glm": Glm().marks,
    "plain": Plain().marks,
    "mistral": ("[TOOL_CALLS]",),
    "deepseek": DeepSeek().marks,
    "kimi": Kimi().marks,
    "granite": Granite().marks,
    "gemma 4": GEMMA_4.marks,
    "minimax": ("<minimax:tool_call>", "</minimax:tool_call>", "<invoke name=", "</invoke>"),
    "lfm": LFM.marks,
    "olmo": OLMO.marks,
    "nemotron": NEMOTRON.marks,
}


@given(answers.filter(lambda answer: answer[0] in MARKS))
def test_no_mark_is_ever_text(answer: tuple[str, str]) -> None:
    name, text = answer
    for kind, value in read(MAKERS[name](), [text]):
        assert kind == "call" or not any(mark in value for mark in MARKS[name])


# A parameter without its tags goes with the call, and what follows a result's mark is not the model's.
LOSES = {"coder", "minimax", "gemma 4"}


@given(answers.filter(lambda answer: answer[0] in MARKS and answer[0] not in LOSES))
def test_what_is_not_a_call_stays(answer: tuple[str, str]) -> None:
    """The letters of an answer are all in its text or in its calls."""
    name, text = answer
    pieces = read(MAKERS[name](), [text])
    said = "".join(value if kind == "text" else json.dumps(value) for kind, value in pieces)
    assert said.count("x") == text.count("x")


BROKEN = {
    "hermes": '<tool_call>{"name": "get_weather", "arguments": {</tool_call>',
    "coder": "<tool_call>\nget_weather\n</tool_call>",
    "glm": "<tool_call>get_weather\n<arg_key>city</arg_key>{</tool_call>",
    "plain": '{"name": "get_weather", "parameters": {}',
    "mistral": '[TOOL_CALLS] [{"name": "get_weather"',
    "mistral named": "[TOOL_CALLS]get_weather[ARGS]{nothing}",
    "deepseek": "<｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{<｜tool▁call▁end｜>",
    "kimi": "<|tool_call_begin|>get_weather:0<|tool_call_argument_begin|>{<|tool_call_end|>",
    "granite": '<|tool_call|>[{"name": "get_weather"',
    "seed": "<seed:tool_call>\nget_weather\n</seed:tool_call>",
    "gemma 4": '<|tool_call>call:get_weather{city:<|"|>Paris}<tool_call|>',
    "function gemma": "<start_function_call>call:get_weather{city:}<end_function_call>",
    "minimax": "<minimax:tool_call><invoke name=get_weather</invoke></minimax:tool_call>",
    "lfm": "<|tool_call_start|>[get_weather(city='Paris'<|tool_call_end|>",
    "olmo": "<function_calls>get_weather(city=print())</function_calls>",
    "nemotron": '<TOOLCALL>[{"name": "get_weather"</TOOLCALL>',
    "command": "<|START_ACTION|>{get_weather}<|END_ACTION|>",
    "harmony": "<|channel|>commentary to=functions.get_weather<|message|>{get_weather<|call|>",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_call_is_text_without_its_marks(name: str) -> None:
    ((kind, value),) = read(MAKERS[name](), list(BROKEN[name]))
    assert kind == "text"
    assert "{" in value or "get_weather" in value
    assert not any(mark in value for mark in ("<tool_call>", "[TOOL_CALLS]", "<｜", "<|"))


@pytest.mark.parametrize("name", TWO)
def test_an_unknown_tool_is_text(name: str) -> None:
    text = TWO[name].replace("get_weather", "launch")
    pieces = read(MAKERS[name](), [text])
    assert {kind for kind, _ in pieces} == {"text"}
    assert "Paris" in pieces[0][1]


def test_a_good_call_after_a_broken_one_is_a_call() -> None:
    text = f'<tool_call>{{"name": </tool_call><tool_call>{named(ROME_JSON)}</tool_call>'
    assert read(MAKERS["hermes"](), list(text)) == [("text", '{"name":'), ROME]


def test_an_unclosed_call_that_is_whole_is_a_call() -> None:
    assert read(MAKERS["hermes"](), list(f"<tool_call>\n{named(PARIS_JSON)}")) == [PARIS]


def test_a_mark_within_a_string_is_part_of_it() -> None:
    arguments = {"text": 'Use </tool_call> and "<tool_call>".\n\\'}
    text = f"<tool_call>{named(json.dumps(arguments), name='note')}</tool_call>"
    assert read(MAKERS["hermes"](), list(text)) == [("call", ("note", arguments))]


@pytest.mark.parametrize(
    "value", ["NaN", "-Infinity", "1e999", "1" * 40, "[" * 2000 + "]" * 2000, '"\\ud800"']
)
def test_what_cannot_be_sent_is_text(value: str) -> None:
    call = named(f'{{"text": {value}}}', name="note")
    ((kind, _),) = read(MAKERS["hermes"](), [f"<tool_call>{call}</tool_call>"])
    assert kind == "text"


def test_arguments_as_text_are_read() -> None:
    text = f"<tool_call>{named(json.dumps(PARIS_JSON))}</tool_call>"
    assert read(MAKERS["hermes"](), [text]) == [PARIS]


def test_values_in_tags_become_what_the_schema_says() -> None:
    values = {"text": "<b>\n1</b>", "tags": '["a", 1]', "sure": "True", "other": '{"a": null}', "more": "5"}
    body = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in values.items())
    text = f"<function=note>\n{body}</function>\n</tool_call>"
    expected = {"text": "<b>\n1</b>", "tags": ["a", 1], "sure": True, "other": {"a": None}, "more": "5"}
    assert read(MAKERS["coder"](), list(text)) == [("call", ("note", expected))]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('text:<|"|>a, {b}: "c"<|"|>,tags:[1,-2.5,<|"|>x<|"|>,{deep:{er:true}}]', None),
        ('"text": "a, {b}: \\"c\\"", <|"|>tags<|"|>: [1, -2.5, "x", {"deep": {"er": true}}]', None),
        ("text:one two,tags:[],", {"text": "one two", "tags": []}),
        ("", {}),
        ('text:<|"|>line\nline<|"|>,sure:null', {"text": "line\nline", "sure": None}),
    ],
)
def test_gemmas_arguments(arguments: str, expected: dict | None) -> None:
    if expected is None:
        expected = {"text": 'a, {b}: "c"', "tags": [1, -2.5, "x", {"deep": {"er": True}}]}
    text = f"<|tool_call>call:note{{{arguments}}}<tool_call|>"
    assert read(MAKERS["gemma 4"](), list(text)) == [("call", ("note", expected))]


@pytest.mark.parametrize(
    "arguments", ["text:1:2", "text:[1", "[1]", "text", "text:NaN1e999", "a:" + "[" * 99]
)
def test_what_are_no_arguments_of_gemmas_is_text_or_harmless(arguments: str) -> None:
    text = f"<|tool_call>call:note{{{arguments}}}<tool_call|>"
    for kind, value in read(MAKERS["gemma 4"](), list(text)):
        assert kind == "text" or json.dumps(value, allow_nan=False)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            "text='a)b, c=\\'d\\'', tags=[1, (2, None)], sure=True",
            {"text": "a)b, c='d'", "tags": [1, [2, None]], "sure": True},
        ),
        (
            'text="line\nline", sure=false, other={"a": [null, -1.5]}',
            {"text": "line\nline", "sure": False, "other": {"a": [None, -1.5]}},
        ),
        ("from='here', max-size=3,", {"from": "here", "max-size": 3}),
        ('text="\\ud83d\\ude00"', {"text": "😀"}),
        ("", {}),
    ],
)
def test_arguments_in_python(arguments: str, expected: dict) -> None:
    for name, text in (
        ("lfm", f"<|tool_call_start|>[note({arguments})]<|tool_call_end|>"),
        ("python", f"[note({arguments})]"),
    ):
        assert read(MAKERS[name](), list(text)) == [("call", ("note", expected))]


@pytest.mark.parametrize(
    "arguments",
    [
        "open('x')",
        "text=open('x')",
        "text=b'x'",
        "text=1j",
        "**{}",
        "*a",
        "text=f'{x}'",
        "text=1e999",
        "text={1, 2}",
        "text=" + "(" * 300,
    ],
)
def test_python_that_is_no_literal_is_text(arguments: str) -> None:
    ((kind, _),) = read(MAKERS["lfm"](), [f"<|tool_call_start|>[note({arguments})]<|tool_call_end|>"])
    assert kind == "text"


def test_an_answer_ends_where_a_result_would_begin() -> None:
    reader = MAKERS["gemma 4"]()
    assert read(reader, list(f"{TWO['gemma 4']}response:get_weather{{}}")) == [PARIS, ROME]
    assert isinstance(reader, TaggedReader)
    assert reader.ended


ANSWER = Tags("<answer>", "</answer>")


def wrapped() -> TaggedReader:
    return TaggedReader(
        Thoughts(Tags("<think>", "</think>"), opened=False), Calls(HUNYUAN, TOOLS), Wrapping(ANSWER)
    )


WRAPPED = f"<think>\nHm.\n</think>\n<answer>\nLet me <see>.\n</answer>\n{TWO['hunyuan']}"


@given(cuts)
def test_what_is_said_may_be_wrapped(places: list[int]) -> None:
    expected = [("thought", "Hm."), ("text", "Let me <see>."), PARIS, ROME]
    assert read(wrapped(), split(WRAPPED, places)) == expected
    assert read(wrapped(), list(WRAPPED)) == expected


@given(
    st.lists(st.sampled_from(["<answer>", "</answer>", "<ans", "x", " ", "\n", "<"]), max_size=8).map(
        "".join
    ),
    cuts,
)
def test_no_wrapping_is_ever_shown_and_nothing_else_is_lost(text: str, places: list[int]) -> None:
    def unwrapped(pieces: list[str]) -> str:
        wrapping = Wrapping(ANSWER)
        return "".join(map(wrapping.push, pieces)) + wrapping.finish()

    whole = unwrapped([text])
    assert unwrapped(split(text, places)) == whole
    assert whole.count("x") == text.count("x")
    if text.lstrip().startswith("<answer>"):
        assert not whole.startswith("<answer>") or text.count("<answer>") > 1
    else:
        assert whole == text


def test_text_that_begins_like_json_is_not_held_for_long() -> None:
    stream = MAKERS["plain"]()
    assert [[piece.text for piece in stream.push(text)] for text in ("{name", "} is", " a name")] == [
        [],
        ["{name}", " is"],
        [" a name"],
    ]


@pytest.mark.parametrize("name", ["hermes", "plain", "mistral", "deepseek"])
def test_one_call_at_most_where_that_is_wanted(name: str) -> None:
    forms = {"hermes": Hermes(), "plain": Plain(), "mistral": MistralList(), "deepseek": DeepSeek()}
    reader = tagged(forms[name], one=True)
    assert read(reader, list(f"{TWO[name]} and more")) == [PARIS]
    assert reader.ended


@pytest.mark.parametrize("head", ["get_weather", "functions.get_weather", " get_weather:12 "])
def test_an_id_may_hold_more_than_the_name(head: str) -> None:
    text = f"<|tool_call_begin|>{head}<|tool_call_argument_begin|>{PARIS_JSON}<|tool_calls_section_end|>"
    assert read(MAKERS["kimi"](), list(text)) == [PARIS]


def test_one_call_at_most_in_channels() -> None:
    reader = HarmonyReader(TOOLS, one=True)
    assert read(reader, list(TWO["harmony"])) == [PARIS]
    assert reader.ended


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello.", [("text", "Hello.")]),
        ("<|channel|>final<|message|>Hello.<|return|>", [("text", "Hello.")]),
        (" to=functions.get_weather<|channel|>commentary json<|message|>" + PARIS_JSON, [PARIS]),
        ("<|channel|>analysis<|message|>Hm", [("thought", "Hm")]),
        ("<|channel|>anal", []),
    ],
)
def test_channels(text: str, expected: list) -> None:
    assert read(HarmonyReader(TOOLS), [text]) == expected
    assert read(HarmonyReader(TOOLS), list(text)) == expected
