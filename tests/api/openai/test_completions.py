"""Completions over a real server, driven by OpenAI's client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from inference.errors import Busy, InferenceError
from inference.protocol import Done, Event, Failed, Generate, Logprob, Request, Text, Usage
from tests.api.openai.conftest import ABLE, ALIAS, MODEL, Stage


async def by_prompt(request: Request) -> AsyncIterator[Event]:
    """Says for each sample what was asked, in two pieces."""
    assert isinstance(request, Generate)
    said = request.prompt or " ".join(map(str, request.context))
    for sample in range(request.samples):
        yield Text(text=f"{said}:", sample=sample)
        yield Text(text=str(sample), sample=sample)
    yield Done(reason="stop", usage=Usage(prompt=2, completion=3 * request.samples))


def token(text: str, logprob: float | None, *top: Logprob) -> Logprob:
    return Logprob(token=1, text=text, raw=text.encode(), logprob=logprob, top=top)


def test_one_prompt(stage: Stage) -> None:
    answer = stage.client.completions.create(model=MODEL, prompt="one two", max_tokens=7)
    assert answer.id.startswith("cmpl-")
    assert (answer.object, answer.model) == ("text_completion", MODEL)
    (choice,) = answer.choices
    assert (choice.text, choice.index, choice.finish_reason, choice.logprobs) == ("one two ", 0, "stop", None)
    assert answer.usage
    assert answer.usage.total_tokens == 4
    asked = stage.asked(Generate)
    assert (asked.prompt, asked.messages, asked.options.num_predict, asked.truncate) == (
        "one two",
        (),
        7,
        False,
    )


def test_a_stream(stage: Stage) -> None:
    chunks = list(stage.client.completions.create(model=MODEL, prompt="one two", stream=True))
    assert [chunk.choices[0].text for chunk in chunks] == ["one ", "two ", ""]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None, "stop"]
    assert len({chunk.id for chunk in chunks}) == 1
    data = stage.data("/v1/completions", {"model": MODEL, "prompt": "x", "stream": True})
    assert data[-1] == "[DONE]"


def test_an_aliass_system_prompt_is_for_chats_only(stage: Stage) -> None:
    stage.client.completions.create(model=ALIAS, prompt="x")
    asked = stage.asked(Generate)
    assert (asked.messages, asked.options.temperature) == ((), 0.5)


def test_several_prompts_of_several_answers(stage: Stage) -> None:
    stage.engine.script = by_prompt
    answer = stage.client.completions.create(model=MODEL, prompt=["a", "b", "c"], n=2)
    assert [choice.text for choice in answer.choices] == ["a:0", "a:1", "b:0", "b:1", "c:0", "c:1"]
    assert [choice.index for choice in answer.choices] == list(range(6))
    assert answer.usage
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (6, 18)
    said = [""] * 6
    usage = None
    for chunk in stage.client.completions.create(
        model=MODEL, prompt=["a", "b", "c"], n=2, stream=True, stream_options={"include_usage": True}
    ):
        for choice in chunk.choices:
            said[choice.index] += choice.text
        usage = chunk.usage
    assert said == [choice.text for choice in answer.choices]
    assert usage == answer.usage


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [
        ([1, 2, 3], ["1 2 3:0"]),
        ([[1, 2], [3]], ["1 2:0", "3:0"]),
        (["a", [4]], ["a:0", "4:0"]),
        ("", ["..."]),
    ],
)
def test_prompts_of_tokens(stage: Stage, prompt: Any, texts: list[str]) -> None:
    stage.engine.script = by_prompt
    answer = stage.client.completions.create(model=MODEL, prompt=prompt)
    if prompt == "":
        assert (stage.asked(Generate).prompt, stage.asked(Generate).context) == ("", ())
    else:
        assert [choice.text for choice in answer.choices] == texts


def test_echo_and_logprobs_in_their_older_shape(stage: Stage) -> None:
    stage.plays(
        Text(text="Hé", logprobs=(token("H", None), token("é", -1.0, token("é", -1.0), token("a", -2.0)))),
        Text(text="llo", logprobs=(token("llo", -3.0, token("x", float("-inf"))),)),
        Done(reason="stop"),
    )
    ask: Any = {"model": MODEL, "prompt": "Hé", "echo": True, "logprobs": 2}
    logprobs = stage.client.completions.create(**ask).choices[0].logprobs
    assert logprobs
    assert logprobs.to_dict() == {
        "tokens": ["H", "é", "llo"],
        "token_logprobs": [None, -1.0, -3.0],
        "top_logprobs": [None, {"é": -1.0, "a": -2.0}, {"llo": -3.0, "x": -9999.0}],
        "text_offset": [0, 1, 2],
    }
    asked = stage.asked(Generate)
    assert (asked.echo, asked.logprobs) == (True, 2)
    chunks = list(stage.client.completions.create(**ask, stream=True))
    seen = [chunk.choices[0].logprobs for chunk in chunks]
    assert [one and one.text_offset for one in seen] == [[0, 1], [2], None]


def test_the_best_of_several(stage: Stage) -> None:
    stage.plays(
        Text(text="worst", sample=0, logprobs=(token("worst", -9.0),)),
        Text(text="best", sample=1, logprobs=(token("be", -1.0), token("st", -1.0), token("", -1.0))),
        Text(text="good", sample=2, logprobs=(token("good", -1.5),)),
        Done(reason="stop", reasons=("length", "stop", "length")),
    )
    answer = stage.client.completions.create(model=MODEL, prompt="x", best_of=3, n=2)
    assert [(one.index, one.text, one.finish_reason, one.logprobs) for one in answer.choices] == [
        (0, "best", "stop", None),
        (1, "good", "length", None),
    ]
    assert (stage.asked(Generate).samples, stage.asked(Generate).logprobs) == (3, 0)


def test_a_suffix_reaches_models_that_fill_in(stage: Stage) -> None:
    stage.client.completions.create(model=ABLE, prompt="a", suffix="c")
    assert stage.asked(Generate).suffix == "c"
    with pytest.raises(openai.BadRequestError, match="does not support insert") as error:
        stage.client.completions.create(model=MODEL, prompt="a", suffix="c")
    assert (error.value.param, error.value.code) == ("suffix", "unsupported_value")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [[]]}, "prompt"),
        ({"prompt": 1}, "prompt"),
        ({"prompt": ["a", 1]}, "prompt"),
        ({"prompt": [-1]}, "prompt[0]"),
        ({"prompt": [1.5]}, "prompt[0]"),
        ({"prompt": [2**64]}, "prompt[0]"),
        ({"prompt": "x", "max_tokens": 2**70}, "max_tokens"),
        ({"prompt": ["x"] * 129}, "prompt"),
        ({"prompt": "x", "n": 3, "best_of": 2}, "best_of"),
        ({"prompt": "x", "best_of": 2, "stream": True}, "best_of"),
        ({"prompt": "x", "best_of": 17}, "best_of"),
        ({"prompt": "x", "logprobs": 21}, "logprobs"),
        ({"prompt": "x", "logprobs": True}, "logprobs"),
        ({"prompt": "x", "max_tokens": -3}, "max_tokens"),
        ({"prompt": "x", "echo": "yes"}, "echo"),
        ({"prompt": "x", "think": "wild"}, "think"),
        ({"prompt": "x", "think": True}, "think"),
        ({"prompt": "x", "reasoning_effort": "wild"}, "reasoning_effort"),
    ],
)
def test_what_is_wrong_is_a_400_that_names_the_field(stage: Stage, body: Any, param: str | None) -> None:
    status, _, text = stage.post("/v1/completions", {"model": MODEL, **body})
    assert (status, json.loads(text)["error"]["param"]) == (400, param)
    assert stage.engine.requests == []


def test_errors_before_and_after_the_first_text(stage: Stage) -> None:
    stage.plays(Failed.of(Busy()))
    with pytest.raises(openai.InternalServerError) as error:
        stage.client.completions.create(model=MODEL, prompt=["a", "b"], stream=True)
    assert error.value.status_code == 503
    stage.plays(Text(text="a"), Failed.of(InferenceError("It broke.")))
    with pytest.raises(openai.APIError, match="It broke"):
        list(stage.client.completions.create(model=MODEL, prompt="a", stream=True))


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_frees_every_slot(stage: Stage, stream: bool) -> None:
    async def script(request: Request) -> AsyncIterator[Event]:
        yield Text(text="one ")
        await asyncio.Event().wait()

    stage.engine.script = script
    stage.leave("/v1/completions", {"model": MODEL, "prompt": ["a", "b", "c"], "stream": stream}, 3)
