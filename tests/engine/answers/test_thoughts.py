from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.chat_templates import Tags
from inference.engine.answers.tagged import TaggedReader
from inference.engine.answers.thoughts import Thoughts
from tests.engine.answers.readers import cuts, read, split

TAGS = Tags("<think>", "</think>")


def reader(*, opened: bool = False) -> TaggedReader:
    return TaggedReader(Thoughts(TAGS, opened=opened), None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>\nHm.\n</think>\n\nYes.", [("thought", "Hm."), ("text", "Yes.")]),
        ("\n<think>a b</think>c d ", [("thought", "a b"), ("text", "c d ")]),
        ("<think>\n\n</think>\n\nYes.", [("text", "Yes.")]),
        ("<think></think>", []),
        ("<think>a</think>\n<think>b</think>c", [("thought", "ab"), ("text", "c")]),
        ("<think>never ends", [("thought", "never ends")]),
        ("<think>cut off </thi", [("thought", "cut off </thi")]),
        ("  No thought.", [("text", "  No thought.")]),
        ("Write <think> and </think>.", [("text", "Write <think> and </think>.")]),
        ("</think>\nYes.", [("text", "Yes.")]),
        ("<thin", [("text", "<thin")]),
        ("<", [("text", "<")]),
        ("", []),
        ("<think>a < b </ c <\n</think>x", [("thought", "a < b </ c <"), ("text", "x")]),
    ],
)
def test_thoughts_stand_before_the_answer(text: str, expected: list) -> None:
    assert read(reader(), [text]) == expected
    assert read(reader(), list(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\nHm.\n</think>\n\nYes.", [("thought", "Hm."), ("text", "Yes.")]),
        ("</think>Yes.", [("text", "Yes.")]),
        ("Hm", [("thought", "Hm")]),
    ],
)
def test_the_prompt_may_have_opened_the_thought(text: str, expected: list) -> None:
    assert read(reader(opened=True), [text]) == expected
    assert read(reader(opened=True), list(text)) == expected


def test_thoughts_come_as_they_are_thought() -> None:
    stream = reader(opened=True)
    assert [[piece.text for piece in stream.push(text)] for text in ("One", " two", " ", "three</", "x")] == [
        ["One"],
        [" two"],
        [],
        [" three"],
        ["</x"],
    ]


GEMMA = Tags("<|channel>", "<channel|>")


def channels(*, opened: bool = False) -> TaggedReader:
    return TaggedReader(Thoughts(GEMMA, opened=opened, control=True), None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<|channel>thought\nHm.\n<channel|>Yes.", [("thought", "Hm."), ("text", "Yes.")]),
        ("<|channel>thought\n<channel|>Yes.", [("text", "Yes.")]),
        ("<|channel>thoughtful<channel|>Yes.", [("thought", "thoughtful"), ("text", "Yes.")]),
        ("<|channel>thought", []),
        ("<|channel>thought<channel|>", []),
        ("<|channel>thought\n\nthought\n<channel|>", [("thought", "thought")]),
        ("<|channel>Hm.", [("thought", "Hm.")]),
        ("No.<channel|>", [("text", "No.")]),
        (
            "One.<|channel>thought\nHm.<channel|>\nTwo.",
            [("text", "One."), ("thought", "Hm."), ("text", "Two.")],
        ),
    ],
)
def test_tags_that_are_control_tokens_are_never_text(text: str, expected: list) -> None:
    assert read(channels(), [text]) == expected
    assert read(channels(), list(text)) == expected


pieces = st.lists(
    st.sampled_from(["<|channel>", "<channel|>", "thought\n", "though", "<", "x", " ", "\n"]), max_size=12
)


@given(pieces, cuts, st.booleans())
def test_nor_does_it_matter_how_they_are_cut(parts: list[str], places: list[int], opened: bool) -> None:
    text = "".join(parts)
    whole = read(channels(opened=opened), [text])
    assert read(channels(opened=opened), split(text, places)) == whole
    assert read(channels(opened=opened), list(text)) == whole
    said = "".join(value for kind, value in whole if kind == "text")
    assert not any(tag in said for tag in GEMMA)
    assert "".join(value for _, value in whole).count("x") == text.count("x")


fragments = st.lists(
    st.sampled_from(["<think>", "</think>", "<", "think>", "a", " ", "\n", "é"]), max_size=12
)


@given(fragments, cuts, st.booleans())
def test_how_the_text_is_cut_makes_no_difference(parts: list[str], places: list[int], opened: bool) -> None:
    text = "".join(parts)
    whole = read(reader(opened=opened), [text])
    assert read(reader(opened=opened), split(text, places)) == whole
    assert read(reader(opened=opened), list(text)) == whole


whole_tags = st.lists(st.sampled_from(["<think>", "</think>", "a", "é", " ", "\n"]), max_size=12)


@given(whole_tags, st.booleans())
def test_nothing_is_lost_but_tags_and_white_space(parts: list[str], opened: bool) -> None:
    text = "".join(parts)
    said = "".join(value for _, value in read(reader(opened=opened), [text]))
    assert letters(said) == letters(text)


def letters(text: str) -> str:
    return "".join(text.replace("<think>", "").replace("</think>", "").split())
