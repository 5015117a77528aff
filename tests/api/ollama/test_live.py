"""Ollama's client, a real server with its own engine, and tiny models that think, call and fill in.

Case numbers are those of the list of what Ollama's clients need.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import ollama
import pytest
from jsonschema import validate

from tests.clients.test_llm import llm
from tests.engine.test_tools import tiny_caller
from tests.serving import Server, pull_models

__all__ = ["tiny_caller"]

PLAIN, CALLER = "tiny/llama", "tiny/caller"
HELLO: Any = [{"role": "user", "content": "Hello!"}]
GREEDY = {"temperature": 0, "num_predict": 16}
PARAMETERS: Any = {
    "type": "object",
    "properties": {"city": {"enum": ["Paris", "Rome"]}},
    "required": ["city"],
}
WEATHER: Any = {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path, tiny_caller: Path) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("live") / "home"
    pull_models(home, {PLAIN: tiny_llama, CALLER: tiny_caller})
    with Server(home) as server:
        yield server


@pytest.fixture
def client(server: Server) -> ollama.Client:
    return ollama.Client(server.url)


def test_capabilities_are_known_and_held_to(client: ollama.Client) -> None:
    """23, 26, 31"""
    assert client.show(PLAIN).capabilities == ["completion"]
    assert client.show(CALLER).capabilities == ["completion", "tools", "thinking"]
    info = client.show(PLAIN).modelinfo or {}
    assert info["general.architecture"] == "llama"
    assert info["llama.context_length"] == 4096
    assert info["llama.attention.head_count_kv"] == 2
    with pytest.raises(ollama.ResponseError, match=f"{PLAIN}:latest does not support tools"):
        client.chat(PLAIN, HELLO, tools=[WEATHER])
    with pytest.raises(ollama.ResponseError, match=f'"{PLAIN}" does not support thinking'):
        client.chat(PLAIN, HELLO, think=True)
    assert client.chat(PLAIN, HELLO, think=False, tools=[], options=GREEDY).message.content


def test_a_call_is_made_and_its_result_read(server: Server, client: ollama.Client) -> None:
    """21, 22, 24: the grammar makes a call even of noise."""
    body = {
        "model": CALLER,
        "messages": HELLO,
        "tools": [WEATHER],
        "tool_choice": "required",
        "think": False,
        "options": {"temperature": 1.0, "seed": 1, "num_predict": 400},
    }
    whole = httpx.post(f"{server.url}/api/chat", json={**body, "stream": False}, timeout=60).json()
    (call, *_) = whole["message"]["tool_calls"]
    assert (call["function"]["name"], call["function"]["index"]) == ("weather", 0)
    validate(call["function"]["arguments"], PARAMETERS)
    streamed = httpx.post(f"{server.url}/api/chat", json=body, timeout=60).text.splitlines()
    frames = [json.loads(line) for line in streamed]
    calls = [call for frame in frames for call in frame["message"].get("tool_calls", ())]
    assert [call["function"] for call in calls] == [
        call["function"] for call in whole["message"]["tool_calls"]
    ]
    assert frames[-1]["done"] is True
    assert "tool_calls" not in frames[-1]["message"]

    def weather(city: str) -> str:
        """How the weather is.

        Args:
            city: Where.
        """
        raise AssertionError(city)

    given = client.chat(
        CALLER, HELLO, tools=[weather], think=False, options={"temperature": 0, "num_predict": 4}
    )
    assert given.done, "a function is taken for a tool by the client"
    message = ollama.Message(role="assistant", tool_calls=whole["message"]["tool_calls"])
    result = {"role": "tool", "content": "22", "tool_name": "weather"}
    answer = client.chat(CALLER, [*HELLO, message, result], tools=[WEATHER], options=GREEDY)
    assert answer.eval_count == 16


def test_thinking_is_on_unless_switched_off(client: ollama.Client) -> None:
    """25: the template opens the thought, which noise never ends."""
    on = client.chat(CALLER, HELLO, options=GREEDY).message
    assert on.thinking
    assert not on.content
    assert "<think>" not in on.thinking
    off = client.chat(CALLER, HELLO, think=False, options=GREEDY).message
    assert off.content
    assert not off.thinking
    generated = client.generate(CALLER, "Hello!", think=True, options=GREEDY)
    assert generated.thinking


def test_every_token_has_its_logprob(client: ollama.Client) -> None:
    """37"""
    answer = client.generate(PLAIN, "Hello!", logprobs=True, top_logprobs=3, options=GREEDY)
    assert len(answer.logprobs or ()) == answer.eval_count == 16
    for entry in answer.logprobs or ():
        assert entry.logprob <= 0
        assert len(entry.top_logprobs or ()) == 3
        assert entry.logprob == pytest.approx((entry.top_logprobs or ())[0].logprob), "greedy takes the first"
    frames = client.chat(PLAIN, HELLO, logprobs=True, options=GREEDY, stream=True)
    assert sum(len(frame.logprobs or ()) for frame in frames) == 16
    with pytest.raises(ollama.ResponseError, match="top_logprobs must be between 0 and 20"):
        client.generate(PLAIN, "x", top_logprobs=21)


def test_what_the_model_reads_can_be_seen(server: Server) -> None:
    body = {"model": PLAIN, "messages": HELLO, "_debug_render_only": True}
    answer = httpx.post(f"{server.url}/api/chat", json=body, timeout=60).json()
    assert answer["_debug_info"]["rendered_template"].endswith("Hello!<|im_end|>\n<|im_start|>assistant\n")


def test_an_answer_goes_on_where_it_was_begun(client: ollama.Client, server: Server) -> None:
    begun: Any = [*HELLO, {"role": "assistant", "content": "Paris is"}]
    body = {"model": PLAIN, "messages": begun, "_debug_render_only": True}
    seen = httpx.post(f"{server.url}/api/chat", json=body, timeout=60).json()["_debug_info"]
    assert seen["rendered_template"].endswith("<|im_start|>assistant\nParis is")
    rest = client.chat(PLAIN, begun, options=GREEDY).message.content or ""
    messages = anthropic.Anthropic(base_url=server.url, api_key="x").messages
    answer = messages.create(model=PLAIN, max_tokens=16, messages=begun, extra_body={"temperature": 0})
    assert answer.content[0].text == rest  # type: ignore[union-attr]


def test_an_alias_speaks_as_it_was_made(server: Server, client: ollama.Client) -> None:
    """33, 34"""
    client.create(
        "made",
        from_=PLAIN,
        system="Be brief.",
        parameters={"temperature": 0, "num_predict": 5},
        messages=[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}],
    )
    answer = client.chat("made:latest", HELLO)
    assert (answer.model, answer.eval_count, answer.done_reason) == ("made:latest", 5, "length")
    body = {"model": "made", "messages": HELLO, "_debug_render_only": True}
    seen = httpx.post(f"{server.url}/api/chat", json=body, timeout=60).json()["_debug_info"]
    assert [part.partition("\n")[2] for part in seen["rendered_template"].split("<|im_start|>")[1:5]] == [
        f"{text}<|im_end|>\n" for text in ("Be brief.", "Hi", "Yo", "Hello!")
    ]
    assert client.delete("made").status == "success"
    with pytest.raises(ollama.ResponseError, match="model 'made' not found"):
        client.chat("made", HELLO)
    assert client.chat(PLAIN, HELLO, options=GREEDY).eval_count == 16


def test_a_context_remembers(client: ollama.Client) -> None:
    """38"""
    first = client.generate(PLAIN, "Hello!", options=GREEDY)
    second = client.generate(PLAIN, "And?", context=first.context, options=GREEDY)
    assert list(second.context or ())[: len(first.context or ())] == list(first.context or ())
    with pytest.raises(ollama.ResponseError, match="raw mode does not support template, system, or context"):
        client.generate(PLAIN, "x", raw=True, system="y")


def test_a_template_of_the_request_is_what_the_model_reads(server: Server) -> None:
    loud = "{% for m in messages %}{{ m.role }}> {{ m.content | upper }}{% endfor %}{{ eos_token }}"
    asked: dict[str, Any] = {"model": PLAIN, "template": loud, "_debug_render_only": True}
    told = asked | {"prompt": "Say a", "system": "Be brief. "}
    seen = httpx.post(f"{server.url}/api/generate", json=told).json()["_debug_info"]
    assert seen["rendered_template"] == "system> BE BRIEF. user> SAY A<|im_end|>"
    seen = httpx.post(f"{server.url}/api/chat", json=asked | {"messages": HELLO}).json()["_debug_info"]
    assert seen["rendered_template"] == "user> HELLO!<|im_end|>"
    answered = asked | {"messages": HELLO, "_debug_render_only": False, "stream": False, "options": GREEDY}
    assert httpx.post(f"{server.url}/api/chat", json=answered).json()["eval_count"] == 16


def test_a_template_of_the_request_is_held_to_limits(server: Server, client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError, match="The chat template was stopped") as raised:
        client.generate(PLAIN, "Hello", template="{{ messages[0].content * 10 ** 9 }}")
    assert raised.value.status_code == 400
    assert client.generate(PLAIN, "Hello", options=GREEDY).done


def test_long_chats_are_cut_or_refused(server: Server, client: ollama.Client) -> None:
    long = [{"role": "user", "content": "fox " * 400}] * 3
    options = {**GREEDY, "num_ctx": 512}
    assert client.chat(PLAIN, [*long, *HELLO], options=options).eval_count == 16
    body = {"model": PLAIN, "messages": [*long, *HELLO], "options": options, "truncate": False}
    answer = httpx.post(f"{server.url}/api/chat", json=body, timeout=60)
    assert answer.status_code == 400
    assert answer.json() == {
        "error": "the prompt is longer than the context length currently available to the model; shorten the "
        "prompt, adjust the context length in settings, or use a model with a longer context length"
    }


@pytest.mark.parametrize("path", ["chat", "generate"])
def test_a_prompt_that_is_too_long_alone_loses_its_middle_unless_that_is_unwanted(
    server: Server, path: str
) -> None:
    text = "fox " * 400
    body = {"model": PLAIN, "prompt": text, "messages": [{"role": "user", "content": text}]}
    body |= {"options": {**GREEDY, "num_ctx": 64}, "stream": False}
    answer = httpx.post(f"{server.url}/api/{path}", json=body, timeout=60).json()
    assert (answer["prompt_eval_count"], answer["eval_count"]) == (63, 16)
    for unwanted in ({"truncate": False}, {"shift": False}):
        refused = httpx.post(f"{server.url}/api/{path}", json=body | unwanted, timeout=60)
        assert refused.status_code == 400


def test_a_context_that_has_grown_too_long_is_cut(client: ollama.Client) -> None:
    options = {**GREEDY, "num_ctx": 64}
    context = None
    for _ in range(5):
        answer = client.generate(PLAIN, "fox fox", context=context, options=options)
        assert answer.prompt_eval_count and answer.prompt_eval_count < 64
        context = answer.context


def test_tokens_there_and_back(server: Server) -> None:
    text = "The quick brown fox, grüßend €"
    tokens = httpx.post(f"{server.url}/api/tokenize", json={"model": PLAIN, "text": text}, timeout=60).json()
    back = httpx.post(
        f"{server.url}/api/detokenize", json={"model": PLAIN, "tokens": tokens["tokens"]}, timeout=60
    )
    assert back.json() == {"model": PLAIN, "text": text}


def test_what_was_read_before_is_told(server: Server) -> None:
    body = {"model": PLAIN, "messages": HELLO, "stream": False, "options": GREEDY}
    for _ in range(2):
        answer = httpx.post(f"{server.url}/api/chat", json=body, timeout=60).json()
    assert 0 < answer["cached_tokens"] < answer["prompt_eval_count"]


def test_anthropics_client_is_answered_by_the_same_engine(server: Server) -> None:
    """44"""
    client = anthropic.Anthropic(base_url=server.url, api_key="x", max_retries=0)
    asked: Any = {
        "model": PLAIN,
        "max_tokens": 16,
        "messages": HELLO,
        "extra_body": {"temperature": 0},
    }
    whole = client.messages.create(**asked)
    with client.messages.stream(**asked) as stream:
        streamed = "".join(stream.text_stream)
    assert streamed == whole.content[0].text  # type: ignore[union-attr]
    assert (whole.stop_reason, whole.usage.output_tokens) == ("max_tokens", 16)
    counted = client.messages.count_tokens(model=PLAIN, messages=HELLO)
    assert counted.input_tokens == whole.usage.input_tokens + (whole.usage.cache_read_input_tokens or 0)
    stop = streamed[4:7]
    cut = client.messages.create(**asked, stop_sequences=[stop])
    assert (cut.stop_reason, cut.stop_sequence) == ("stop_sequence", stop)
    with pytest.raises(anthropic.BadRequestError, match="longer than the context"):
        client.messages.create(
            model=PLAIN, max_tokens=9, messages=[{"role": "user", "content": "fox " * 9000}]
        )


def test_anthropics_tools_and_thoughts(server: Server) -> None:
    client = anthropic.Anthropic(base_url=server.url, api_key="x", max_retries=0)
    message = client.messages.create(
        model=CALLER,
        max_tokens=400,
        messages=HELLO,
        tools=[{"name": "weather", "input_schema": PARAMETERS}],
        tool_choice={"type": "tool", "name": "weather"},
        extra_body={"options": {"seed": 1}},
    )
    calls = [block for block in message.content if block.type == "tool_use"]
    assert message.stop_reason == "tool_use"
    validate(calls[0].input, PARAMETERS)
    thought = client.messages.create(
        model=CALLER,
        max_tokens=16,
        messages=HELLO,
        thinking={"type": "enabled", "budget_tokens": 1024},
        extra_body={"temperature": 0},
    )
    assert [block.type for block in thought.content] == ["thinking"]


def test_the_llm_command_chats(server: Server, client: ollama.Client, tmp_path: Path) -> None:
    options = ("-o", "temperature", "0", "-o", "num_predict", "16")
    said = llm(server.url, tmp_path, "-m", f"ollama/{PLAIN}:latest", *options, "Hello!")
    assert said.strip() == (client.chat(PLAIN, HELLO, options=GREEDY).message.content or "").strip()
