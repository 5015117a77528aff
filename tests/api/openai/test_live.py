"""OpenAI's client, a real server with its own engine, and tiny models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.serving import Server, pull_models
from tests.tiny import make_tiny_llama, tiny_tokenizer

MODEL, CALLER = "tiny/llama", "tiny/caller"
HELLO: Any = [{"role": "user", "content": "Hello!"}]
GREEDY: Any = {"temperature": 0, "max_tokens": 16}
TEMPLATE = (
    "{% if tools %}{{ 'Call tools in <tool_call></tool_call>: ' + (tools | tojson) + '\n' }}{% endif %}"
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content }}"
    "{% for c in m.tool_calls %}{{ '<tool_call>' + (c.function | tojson) + '</tool_call>' }}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endfor %}{{ '<|im_start|>assistant\n' }}"
)
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Paris", "Rome"]}},
            "required": ["city"],
        },
    },
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Iterator[openai.OpenAI]:
    folder = tmp_path_factory.mktemp("live")
    tokenizer = tiny_tokenizer(TEMPLATE, control=["<tool_call>", "</tool_call>"])
    caller = make_tiny_llama(folder / "caller", tokenizer=tokenizer)
    home = folder / "home"
    pull_models(home, {MODEL: tiny_llama, CALLER: caller})
    with Server(home) as server:
        yield openai.OpenAI(base_url=f"{server.url}/v1", api_key="-", max_retries=0)


def test_streamed_and_whole_are_the_same(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model=MODEL, messages=HELLO, **GREEDY)
    assert whole.usage
    assert (whole.choices[0].finish_reason, whole.usage.completion_tokens) == ("length", 16)
    chunks = list(client.chat.completions.create(model=MODEL, messages=HELLO, stream=True, **GREEDY))
    assert (
        "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content
    )
    again = client.chat.completions.create(model=MODEL, messages=HELLO, **GREEDY)
    assert again.usage
    assert again.usage.prompt_tokens_details
    assert again.usage.prompt_tokens_details.cached_tokens


def test_a_biased_token_is_all_that_is_said(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=HELLO, logit_bias={"40": 100}, **GREEDY)
    text = answer.choices[0].message.content or ""
    assert text == text[0] * 16


def test_a_seed_is_a_text(client: openai.OpenAI) -> None:
    ask: Any = {"model": MODEL, "messages": HELLO, "temperature": 1.5, "max_tokens": 16}
    said = {
        client.chat.completions.create(**ask, seed=seed).choices[0].message.content for seed in (1, 1, 2, 3)
    }
    assert len(said) == 3


def test_prompts_answered_at_once_are_as_if_alone(client: openai.OpenAI) -> None:
    prompts = ["The quick brown", "Paris is", "Berlin"]
    alone = [
        client.completions.create(model=MODEL, prompt=prompt, **GREEDY).choices[0].text for prompt in prompts
    ]
    together = client.completions.create(model=MODEL, prompt=prompts, **GREEDY)
    assert [choice.text for choice in together.choices] == alone
    assert len(set(alone)) == 3


def test_a_json_answer_parses(client: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"]}
    answer = client.chat.completions.create(
        model=MODEL,
        messages=HELLO,
        temperature=0,
        max_tokens=40,
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
    )
    assert json.loads(answer.choices[0].message.content or "") in ({"a": 1}, {"a": 2})


def test_a_thread_of_responses(client: openai.OpenAI) -> None:
    ask: Any = {"model": MODEL, "temperature": 0, "max_output_tokens": 8}
    first = client.responses.create(input="Hello!", **ask)
    second = client.responses.create(input="And?", previous_response_id=first.id, **ask)
    whole = client.chat.completions.create(
        model=MODEL,
        messages=[
            *HELLO,
            {"role": "assistant", "content": first.output_text},
            {"role": "user", "content": "And?"},
        ],
        temperature=0,
        max_tokens=8,
    )
    assert second.output_text == whole.choices[0].message.content
    counted = client.responses.input_tokens.count(model=MODEL, input="Hello!")
    assert first.usage
    assert counted.input_tokens == first.usage.input_tokens


def test_several_answers_from_one_prompt(client: openai.OpenAI) -> None:
    ask: Any = {"model": MODEL, "messages": HELLO, "max_tokens": 12, "n": 3, "temperature": 1.5, "seed": 5}
    answer = client.chat.completions.create(**ask)
    said = [choice.message.content for choice in answer.choices]
    assert len(set(said)) == 3
    assert answer.usage
    assert answer.usage.completion_tokens == 36
    streamed = ["", "", ""]
    for chunk in client.chat.completions.create(**ask, stream=True):
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""
    assert streamed == said


def test_logprobs_belong_to_the_text(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL, messages=HELLO, logprobs=True, top_logprobs=3, **GREEDY
    )
    (choice,) = answer.choices
    assert choice.logprobs
    tokens = choice.logprobs.content or []
    assert len(tokens) == 16
    raw = b"".join(bytes(token.bytes or ()) for token in tokens)
    assert raw.decode(errors="replace").startswith((choice.message.content or "")[:8])
    for token in tokens:
        assert token.logprob <= 0
        assert len(token.top_logprobs) == 3
        assert token.top_logprobs[0].logprob == token.logprob, "greedy: the likeliest was taken"


def test_a_prompt_is_measured_without_an_answer(client: openai.OpenAI) -> None:
    """What evaluation harnesses do: the prompt's own logprobs, and no new token."""
    answer = client.completions.create(
        model=MODEL, prompt="Paris is the capital", echo=True, logprobs=2, max_tokens=0
    )
    (choice,) = answer.choices
    assert choice.text == "Paris is the capital"
    assert choice.logprobs
    values = choice.logprobs.token_logprobs or []
    assert values[0] is None
    assert all(value <= 0 for value in values[1:])
    assert len(values) == len(choice.logprobs.tokens or ())
    assert answer.usage
    assert answer.usage.completion_tokens == 0


def test_an_echo_stands_before_the_answer(client: openai.OpenAI) -> None:
    alone = client.completions.create(model=MODEL, prompt="Paris is", **GREEDY).choices[0].text
    echoed = client.completions.create(model=MODEL, prompt="Paris is", echo=True, **GREEDY).choices[0].text
    assert echoed == "Paris is" + alone


def test_the_best_of_several_is_the_likeliest(client: openai.OpenAI) -> None:
    ask: Any = {"model": MODEL, "prompt": "Paris", "max_tokens": 6, "temperature": 1.5, "seed": 3}
    every = client.completions.create(n=4, logprobs=0, **ask).choices
    best = client.completions.create(best_of=4, **ask).choices[0]
    likely = {choice.text: sum(choice.logprobs.token_logprobs or []) for choice in every if choice.logprobs}
    assert best.text == max(likely, key=lambda text: likely[text])


def test_tokens_are_a_prompt(client: openai.OpenAI) -> None:
    answer = client.completions.create(model=MODEL, prompt=[[60, 61, 62], [70]], **GREEDY)
    assert len({choice.text for choice in answer.choices}) == 2
    with pytest.raises(openai.BadRequestError, match="tokens that this model does not have"):
        client.completions.create(model=MODEL, prompt=[999_999], **GREEDY)


def test_a_prompt_that_is_too_long_is_refused_with_both_numbers(client: openai.OpenAI) -> None:
    """Also where a shorter history would do: OpenAI's clients shorten theirs themselves."""
    long: Any = [{"role": "user", "content": "one two three " * 400}] * 5
    for stream in (True, False):
        with pytest.raises(openai.BadRequestError) as error:
            client.chat.completions.create(model=MODEL, messages=long, stream=stream)
        assert error.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError) as error:
        client.completions.create(model=MODEL, prompt="one two three " * 2000)
    assert error.value.code == "context_length_exceeded"


def test_a_tool_that_has_to_be_called_is(client: openai.OpenAI) -> None:
    ask: Any = {"model": CALLER, "messages": HELLO, "tools": [WEATHER], "tool_choice": "required"}
    choice = client.chat.completions.create(**ask, max_tokens=200, parallel_tool_calls=False).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls
    (call,) = choice.message.tool_calls
    assert call.function.name == "weather"
    assert json.loads(call.function.arguments)["city"] in {"Paris", "Rome"}
    answer = {"role": "tool", "tool_call_id": call.id, "content": "Rain."}
    client.chat.completions.create(
        model=CALLER, tools=[WEATHER], messages=[*HELLO, choice.message.to_dict(), answer], **GREEDY
    )
    response = client.responses.create(
        model=CALLER,
        input="Hello!",
        tools=[{"type": "function", **WEATHER["function"]}],
        tool_choice={"type": "function", "name": "weather"},
        max_output_tokens=200,
    )
    assert response.output[0].type == "function_call"
    assert json.loads(response.output[0].arguments)["city"] in {"Paris", "Rome"}
