from __future__ import annotations

import pytest
from msgspec.structs import replace
from transformers import GenerationConfig

from inference.engine.prompts import PromptBuilder
from inference.engine.rows import RowBuilder
from inference.errors import ContextOverflow, InvalidRequest, Unsupported
from inference.protocol import Generate, Message, ModelRef, Options, Tool, ToolCall
from tests.tiny import tiny_tokenizer

REF = ModelRef(name="tiny/llama", path="")
STRICT = (
    "{% if tools %}{{ tools | length }} tools {% endif %}"
    "{% for m in messages %}{% if m.role == 'tool' %}{{ '[' + m.content + ']' }}"
    "{% elif m.tool_calls %}{{ '(' + m.tool_calls[0].function.name + ')' }}"
    "{% else %}{% if loop.first and m.role != 'user' %}{{ raise_exception('A user must begin.') }}{% endif %}"
    "{{ m.role[0] + ':' + m.content + ' ' }}{% endif %}{% endfor %}"
)
TOOL = Tool(name="look", parameters={})
INFILL = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")


def user(text: str) -> Message:
    return Message(role="user", content=text)


def said(text: str) -> Message:
    return Message(role="assistant", content=text)


CALL = Message(role="assistant", tool_calls=(ToolCall(name="look", arguments={}),))
RESULT = Message(role="tool", content="x" * 40)


def built(request: Generate, context: int = 60) -> str:
    tokenizer = tiny_tokenizer(STRICT)
    text: str = tokenizer.decode(PromptBuilder(tokenizer, len(tokenizer)).build(request, context))
    return text


def test_whole_turns_give_way_so_that_a_user_begins() -> None:
    messages = (user("a" * 40), said("b" * 9), user("c" * 9), said("d" * 9), user("e"))
    text = built(Generate(model=REF, messages=messages))
    assert text == "u:ccccccccc a:ddddddddd u:e "


def test_a_result_gives_way_with_its_call_and_the_question_stays() -> None:
    messages = (user("q"), CALL, RESULT, CALL, RESULT)
    assert built(Generate(model=REF, messages=messages)) == f"u:q (look)[{'x' * 40}]"


def test_nothing_gives_way_where_truncation_is_not_wanted() -> None:
    messages = (user("a" * 70), said("b"), user("c"))
    with pytest.raises(ContextOverflow):
        built(Generate(model=REF, messages=messages, truncate=False))
    assert built(Generate(model=REF, messages=messages)) == "u:c "


@pytest.mark.parametrize("length", [80, 5_000, 1_000_000])
@pytest.mark.parametrize("before", [0, 50, 90])
def test_a_question_that_is_too_long_loses_its_middle_where_the_answer_may_forget(
    length: int, before: int
) -> None:
    """After the oldest turns have gone; what a context holds counts."""
    tokenizer = tiny_tokenizer(STRICT)
    builder = PromptBuilder(tokenizer, len(tokenizer))
    said_before = tuple(tokenizer("y" * before, add_special_tokens=False)["input_ids"])
    question = f"begin{'x' * length}end"
    request = Generate(
        model=REF,
        messages=(user("old"), said("older"), user(question)),
        context=said_before,
        options=Options(num_keep=4),
        shift=True,
    )
    tokens = builder.build(request, 60)
    whole = [*said_before, *tokenizer(f"u:{question} ", add_special_tokens=False)["input_ids"]]
    assert (tokens[:4], tokens[4:]) == (whole[:4], whole[-55:])
    for refused in (replace(request, shift=False), replace(request, truncate=False)):
        with pytest.raises(ContextOverflow):
            builder.build(refused, 60)


@pytest.mark.parametrize("template", ["", "{# nothing #}", "{{ messages[0].nothing }}"])
def test_a_chat_of_which_a_template_writes_nothing_is_an_empty_prompt(template: str) -> None:
    """As a text without anything in it: the token that every text begins with."""
    tokenizer = tiny_tokenizer("{% for m in messages %}{{ m.content }}{% endfor %}")
    builder = PromptBuilder(tokenizer, len(tokenizer))
    rows = RowBuilder(builder, tokenizer, GenerationConfig(), 60)
    plan = rows.plan(Generate(model=REF, messages=(user(""),), template=template))
    assert (plan.prompt, plan.limit) == ([tokenizer.bos_token_id], 59)
    assert builder.build(Generate(model=REF, messages=(user(""),), context=(7,)), 60) == [7]


def test_what_is_far_longer_than_could_be_read_is_refused_even_then() -> None:
    messages = tuple(Message(role="system", content="s" * 100_000) for _ in range(5))
    with pytest.raises(ContextOverflow, match="far more"):
        built(Generate(model=REF, messages=(*messages, user("q")), shift=True))


def test_tools_that_must_not_be_called_are_not_shown() -> None:
    request = Generate(model=REF, messages=(user("q"),), tools=(TOOL,))
    assert built(request) == "1 tools u:q "
    assert built(Generate(model=REF, messages=(user("q"),), tools=(TOOL,), tool_choice="none")) == "u:q "


def test_what_a_template_refuses_is_the_requests_mistake() -> None:
    with pytest.raises(InvalidRequest, match="A user must begin"):
        built(Generate(model=REF, messages=(said("a"), user("b"))))


@pytest.mark.parametrize(
    "request_",
    [
        Generate(model=REF, messages=(user("q"), CALL), tools=(Tool(name="f", description="x" * 10_000),)),
        Generate(
            model=REF,
            messages=(
                user("q"),
                Message(role="assistant", tool_calls=(ToolCall(name="f", arguments={"a": "x" * 10_000}),)),
            ),
        ),
    ],
)
def test_tools_and_arguments_count(request_: Generate) -> None:
    with pytest.raises(ContextOverflow, match="far more"):
        built(request_)


def test_without_a_template_there_are_no_tools() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = None
    builder = PromptBuilder(tokenizer, len(tokenizer))
    with pytest.raises(Unsupported, match="tiny/llama does not support tools"):
        builder.build(Generate(model=REF, messages=(user("q"),), tools=(TOOL,)), 60)
    tokens = builder.build(Generate(model=REF, messages=(user("q"), user("r"))), 60)
    assert tokenizer.decode(tokens) == "q\n\nr"


def test_filling_in_goes_between_marks_and_takes_text_as_text() -> None:
    tokenizer = tiny_tokenizer(control=INFILL)
    builder = PromptBuilder(tokenizer, len(tokenizer))
    tokens = builder.build(Generate(model=REF, prompt="def f():<|fim_middle|>", suffix="return x"), 99)
    assert (
        tokenizer.decode(tokens) == "<|fim_prefix|>def f():<|fim_middle|><|fim_suffix|>return x<|fim_middle|>"
    )
    assert tokens.count(tokenizer.convert_tokens_to_ids("<|fim_middle|>")) == 1
    with pytest.raises(ContextOverflow):
        builder.build(Generate(model=REF, prompt="a" * 80, suffix="b" * 80), 40)


def test_a_model_without_such_marks_cannot_fill_in() -> None:
    with pytest.raises(Unsupported, match="does not support insert"):
        built(Generate(model=REF, prompt="a", suffix="b"))


def test_how_answers_are_read_follows_a_template_that_speaks_of_tools_or_thoughts() -> None:
    tokenizer = tiny_tokenizer(STRICT)
    builder = PromptBuilder(tokenizer, len(tokenizer))
    plain = "{{ messages[0].content }}"
    for template, read in (("", STRICT), (plain, STRICT), (plain + "</think>", plain + "</think>")):
        assert builder.template(Generate(model=REF, messages=(user("hi"),), template=template)) == read
