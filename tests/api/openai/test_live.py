"""OpenAI's client, a real server with its own engine, and a tiny model."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.serving import PROJECT, Server, environment

MODEL = "tiny/llama"
HELLO: Any = [{"role": "user", "content": "Hello!"}]
GREEDY: Any = {"temperature": 0, "max_tokens": 16}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Iterator[openai.OpenAI]:
    home = tmp_path_factory.mktemp("live") / "home"
    pulled = subprocess.run(
        [sys.executable, "manage.py", "pull", str(tiny_llama), "--name", MODEL],
        cwd=PROJECT,
        env=environment(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert pulled.returncode == 0, pulled.stderr
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
