"""What can be asked of an answer, on a tiny Llama, against what the model itself says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import torch
from msgspec.structs import replace
from transformers import AutoModelForCausalLM, AutoTokenizer

from inference.engine.config import EngineConfig
from inference.engine.core import Engine
from inference.engine.scheduler import CHUNK
from inference.errors import ContextOverflow, InvalidRequest
from inference.protocol import (
    Detokenize,
    Done,
    Event,
    Generate,
    Loaded,
    Loading,
    Logprob,
    Message,
    ModelRef,
    Options,
    Rendered,
    Request,
    Text,
    Tokenize,
    Tokens,
)
from tests.engine.engines import engine_of

# One engine for all tests: each asks it for something, none changes it.
pytestmark = pytest.mark.asyncio(loop_scope="module")

PLAIN = Options(temperature=0, num_predict=8)


@pytest.fixture(scope="module")
def config(models_root: Path) -> EngineConfig:
    return EngineConfig(
        address="",
        model_roots=(str(models_root),),
        cache="",
        precision="float32",
        device="cpu",
        num_parallel=4,
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(config: EngineConfig) -> AsyncIterator[Engine]:
    engine = engine_of(config)
    yield engine
    await engine.close()


@pytest.fixture
def ref(tiny_llama: Path) -> ModelRef:
    return ModelRef(name="tiny/llama", path=str(tiny_llama))


async def events_of(engine: Engine, request: Request) -> list[Event]:
    events = [event async for event in engine.submit(request) if not isinstance(event, Loading | Loaded)]
    assert isinstance(events[-1], Done)
    return events


async def end_of(engine: Engine, request: Request) -> Done:
    done = (await events_of(engine, request))[-1]
    assert isinstance(done, Done)
    return done


def texts(events: list[Event], sample: int = 0) -> str:
    return "".join(event.text for event in events if isinstance(event, Text) and event.sample == sample)


def logprobs(events: list[Event], sample: int = 0) -> list[Logprob]:
    return [
        one
        for event in events
        if isinstance(event, Text) and event.sample == sample
        for one in event.logprobs
    ]


@cache
def model_of(folder: str) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


@torch.inference_mode()
def expected_logprobs(folder: str, tokens: list[int]) -> torch.Tensor:
    """What the model gives every token after each of ``tokens``: ``[tokens, vocabulary]``."""
    logits: torch.Tensor = model_of(folder)(input_ids=torch.tensor([tokens])).logits[0]
    return logits.log_softmax(dim=-1)


def close(logprob: float | None, expected: torch.Tensor) -> bool:
    return logprob is not None and abs(logprob - float(expected)) < 1e-3


@pytest.mark.parametrize(
    "options",
    [
        PLAIN,
        Options(temperature=2.0, seed=3, num_predict=12),
        Options(temperature=0, num_predict=12, repeat_penalty=3.0, logit_bias={50: 5.0}),
    ],
)
async def test_logprobs_are_the_models_own(engine: Engine, ref: ModelRef, options: Options) -> None:
    """Whatever penalties, biases and temperatures did to the choice."""
    request = Generate(model=ref, prompt="The quick brown", options=options, logprobs=3)
    events = await events_of(engine, request)
    done = events[-1]
    assert isinstance(done, Done)
    answer = list(done.context[done.usage.prompt :])
    reported = logprobs(events)
    assert [one.token for one in reported] == answer
    expected = expected_logprobs(ref.path, list(done.context))[done.usage.prompt - 1 :]
    for one, row in zip(reported, expected, strict=False):
        assert close(one.logprob, row[one.token])
        best = row.topk(3)
        assert [other.token for other in one.top] == best.indices.tolist()
        assert all(close(other.logprob, value) for other, value in zip(one.top, best.values, strict=True))
    assert sum(event.tokens for event in events if isinstance(event, Text)) == done.usage.completion


async def test_logprobs_of_a_format_are_the_models_own(engine: Engine, ref: ModelRef) -> None:
    request = Generate(model=ref, prompt="JSON:", options=PLAIN, logprobs=0, format="json")
    events = await events_of(engine, request)
    done = events[-1]
    assert isinstance(done, Done)
    expected = expected_logprobs(ref.path, list(done.context))[done.usage.prompt - 1 :]
    assert logprobs(events)
    assert all(
        close(one.logprob, row[one.token]) and not one.top
        for one, row in zip(logprobs(events), expected, strict=False)
    )


async def test_only_who_asks_gets_logprobs(engine: Engine, ref: ModelRef) -> None:
    requests = [
        Generate(model=ref, prompt=f"Number {index}", options=PLAIN, logprobs=count)
        for index, count in enumerate((None, 0, 2, 5))
    ]
    answers = await asyncio.gather(*(events_of(engine, request) for request in requests))
    assert logprobs(answers[0]) == []
    for events, count in zip(answers[1:], (0, 2, 5), strict=True):
        assert len(logprobs(events)) == 8
        assert {len(one.top) for one in logprobs(events)} == {count}


async def test_the_bytes_of_tokens_join_to_the_text(engine: Engine, ref: ModelRef) -> None:
    """Also where a character takes several tokens, none of which is text by itself."""
    smile = (await events_of(engine, Tokenize(model=ref, text="😀")))[0]
    assert isinstance(smile, Tokens)
    options = Options(temperature=0, num_predict=4, logit_bias=dict.fromkeys(smile.tokens, 60.0))
    request = Generate(model=ref, prompt="Smile", options=options, logprobs=0, echo=True)
    reported = logprobs(await events_of(engine, request))
    raw = b"".join(one.raw for one in reported[-4:])
    assert all(len(one.raw) == 1 for one in reported[-4:])
    assert {one.text for one in reported[-4:]} == {"\ufffd"}
    assert set(raw) <= set("😀".encode())


@pytest.mark.parametrize("prompt", ["The quick brown fox", "word " * 400])
async def test_echo_sends_the_prompt_with_its_logprobs(engine: Engine, ref: ModelRef, prompt: str) -> None:
    """Read in chunks, and also when the same prompt was read before."""
    for _ in range(2):
        request = Generate(model=ref, prompt=prompt, options=PLAIN, logprobs=1, echo=True)
        events = await events_of(engine, request)
        done = events[-1]
        assert isinstance(done, Done)
        answer = AutoTokenizer.from_pretrained(ref.path).decode(
            done.context[done.usage.prompt :], skip_special_tokens=True
        )
        assert texts(events).startswith(prompt)
        assert answer.startswith(texts(events)[len(prompt) :])
        reported = logprobs(events)
        assert [one.token for one in reported] == list(done.context)
        assert reported[0].logprob is None
        expected = expected_logprobs(ref.path, list(done.context))
        for one, row in zip(reported[1:], expected, strict=False):
            assert close(one.logprob, row[one.token])
            assert len(one.top) == 1
        assert sum(event.tokens for event in events if isinstance(event, Text)) == done.usage.completion


async def test_echo_without_logprobs_reads_only_what_is_new(engine: Engine, ref: ModelRef) -> None:
    request = Generate(model=ref, prompt="word " * 100, options=PLAIN, echo=True)
    first, second = await events_of(engine, request), await events_of(engine, request)
    assert texts(first) == texts(second)
    assert texts(first).startswith("word " * 100)
    assert logprobs(first) == []
    done = second[-1]
    assert isinstance(done, Done)
    assert done.usage.cached == done.usage.prompt - 1


@pytest.mark.parametrize("length", [1, CHUNK, CHUNK + 1])
async def test_a_prompt_can_be_scored_without_an_answer(engine: Engine, ref: ModelRef, length: int) -> None:
    options = Options(temperature=0, num_predict=0)
    request = Generate(model=ref, prompt="", context=(40,) * length, options=options, logprobs=0, echo=True)
    events = await events_of(engine, request)
    done = events[-1]
    assert isinstance(done, Done)
    assert (done.reason, done.usage.completion) == ("length", 0)
    assert len(logprobs(events)) == done.usage.prompt == length


async def test_samples_share_one_reading_and_differ(engine: Engine, ref: ModelRef) -> None:
    options = Options(temperature=1.5, seed=5, num_predict=12)
    request = Generate(model=ref, prompt="word " * 100, options=options, samples=3)
    events = await events_of(engine, request)
    done = events[-1]
    assert isinstance(done, Done)
    assert done.reasons == ("length",) * 3
    assert done.usage.completion == 36
    answers = [texts(events, sample) for sample in range(3)]
    assert len(set(answers)) == 3
    assert sum(isinstance(event, Done) for event in events) == 1
    single = await events_of(engine, replace(request, samples=1))
    assert texts(single) == answers[0]


async def test_a_sample_is_the_same_alone_and_in_any_batch(
    config: EngineConfig, tiny_llama: Path, ref: ModelRef
) -> None:
    """With more samples than slots, too, and beside others that sample otherwise."""
    options = Options(temperature=1.2, seed=9, num_predict=10)
    request = Generate(model=ref, prompt="Hello there", options=options, samples=6)
    answers = []
    for slots in (1, 2, 8):
        engine = engine_of(replace(config, num_parallel=slots))
        others = [
            Generate(
                model=ref,
                prompt=f"Other {index}",
                options=Options(temperature=0.7, top_k=index * 30, num_predict=15),
            )
            for index in range(3)
        ]
        events, *_ = await asyncio.gather(*(events_of(engine, one) for one in (request, *others)))
        answers.append([texts(events, sample) for sample in range(6)])
        await engine.close()
    assert answers[0] == answers[1] == answers[2]
    assert len(set(answers[0])) == 6


async def test_samples_echo_and_report_each_their_own(engine: Engine, ref: ModelRef) -> None:
    options = Options(temperature=1.5, seed=5, num_predict=6)
    request = Generate(model=ref, prompt="The fox", options=options, samples=3, echo=True, logprobs=1)
    events = await events_of(engine, request)
    done = events[-1]
    assert isinstance(done, Done)
    for sample in range(3):
        assert texts(events, sample).startswith("The fox")
        assert len(logprobs(events, sample)) == done.usage.prompt + 6
    assert sum(event.tokens for event in events if isinstance(event, Text)) == 18


async def test_leaving_frees_all_samples(engine: Engine, ref: ModelRef) -> None:
    options = Options(temperature=1, num_predict=4000)
    stream = engine.submit(Generate(model=ref, prompt="Hello", options=options, samples=6))
    async for event in stream:
        if isinstance(event, Text) and event.sample == 3:
            break
    await stream.aclose()
    request = Generate(model=ref, prompt="x", options=Options(temperature=0, num_predict=1))
    assert (await end_of(engine, request)).reason == "length"
    assert engine.status().models[0].active == 0


async def test_a_bias_for_a_token_that_is_not_there_is_refused(engine: Engine, ref: ModelRef) -> None:
    with pytest.raises(InvalidRequest, match="logit_bias names a token that this model lacks"):
        await events_of(engine, Generate(model=ref, prompt="a", options=Options(logit_bias={10**6: 1.0})))


async def test_an_answer_goes_on_past_the_models_end_where_asked(engine: Engine, ref: ModelRef) -> None:
    end = AutoTokenizer.from_pretrained(ref.path).eos_token_id
    ending = Options(temperature=0, num_predict=10, logit_bias={end: 100.0})
    request = Generate(model=ref, prompt="Hello", options=ending)
    assert (await end_of(engine, request)).usage.completion == 1
    on = await end_of(engine, replace(request, options=replace(ending, ignore_eos=True)))
    assert (on.reason, on.usage.completion) == ("length", 10)


async def test_a_format_ends_an_answer_in_any_case(engine: Engine, ref: ModelRef) -> None:
    options = Options(temperature=0, num_predict=50, ignore_eos=True)
    done = await end_of(
        engine, Generate(model=ref, prompt="Sure?", options=options, format='{"type": "boolean"}')
    )
    assert done.reason == "stop"


def shifted(folder: str, prompt: list[int], keep: int, context: int, count: int) -> list[int]:
    """A greedy answer, each token from a fresh reading of what is not forgotten."""
    seen, said = list(prompt), []
    for _ in range(count):
        token = int(expected_logprobs(folder, seen)[-1].argmax())
        seen.append(token)
        said.append(token)
        if len(seen) == context:
            del seen[keep : keep + (context - keep) // 2]
    return said


@pytest.mark.parametrize("num_keep", [0, 2, 50, -1])
async def test_a_full_context_shifts(engine: Engine, ref: ModelRef, num_keep: int) -> None:
    options = Options(temperature=0, num_predict=60, num_ctx=24, num_keep=num_keep)
    request = Generate(model=ref, prompt="The quick brown fox", options=options, shift=True)
    done = await end_of(engine, request)
    prompt, answer = list(done.context[: done.usage.prompt]), list(done.context[done.usage.prompt :])
    keep = len(prompt) if num_keep < 0 else min(num_keep, len(prompt))
    assert done.usage.completion == 60
    assert answer == shifted(ref.path, prompt, keep, 24, 60)


async def test_a_shifted_answer_ends_after_ten_contexts(engine: Engine, ref: ModelRef) -> None:
    options = Options(temperature=0, num_predict=-2, num_ctx=16)
    done = await end_of(engine, Generate(model=ref, prompt="The", options=options, shift=True))
    assert (done.reason, done.usage.completion) == ("length", 160)


async def test_text_becomes_tokens_and_back(engine: Engine, ref: ModelRef) -> None:
    text = "Paris is the capital of France. 😀"
    first, done = await events_of(engine, Tokenize(model=ref, text=text))
    assert isinstance(first, Tokens)
    assert isinstance(done, Done)
    again, _ = await events_of(engine, Detokenize(model=ref, tokens=first.tokens))
    assert again == Text(text=text, tokens=len(first.tokens))


async def test_unknown_tokens_have_no_text(engine: Engine, ref: ModelRef) -> None:
    with pytest.raises(InvalidRequest, match="tokens among these"):
        await events_of(engine, Detokenize(model=ref, tokens=(10**6,)))


async def test_a_request_can_be_rendered_only(engine: Engine, ref: ModelRef) -> None:
    request = Generate(model=ref, messages=(Message(role="user", content="Hi!"),), render_only=True)
    rendered, done = await events_of(engine, request)
    assert isinstance(rendered, Rendered)
    assert rendered.text == "<|im_start|>user\nHi!<|im_end|>\n<|im_start|>assistant\n"
    whole = await end_of(engine, replace(request, render_only=False, options=PLAIN))
    assert rendered.tokens == whole.usage.prompt
    assert isinstance(done, Done)


@pytest.mark.parametrize(("num_keep", "keeps"), [(0, 0), (3, 3), (-1, 30)])
@pytest.mark.parametrize("times", [100, 20_000])
async def test_a_plain_prompt_that_is_too_long_keeps_its_end(
    engine: Engine, ref: ModelRef, num_keep: int, keeps: int, times: int
) -> None:
    """With what is kept of its beginning, which may have been read before."""
    prompt = "The fox. " + "word " * times + "Paris is the capital of"
    options = Options(temperature=0, num_predict=1, num_ctx=32, num_keep=num_keep)
    tokens = AutoTokenizer.from_pretrained(ref.path)(prompt)["input_ids"]
    for before in ((), tuple(tokens)):
        request = Generate(model=ref, prompt=prompt, context=before, options=options)
        done = await end_of(engine, request)
        assert done.usage.prompt == 31
        assert list(done.context[:-1]) == tokens[:keeps] + tokens[keeps - 31 :]


async def test_a_plain_prompt_that_must_not_be_cut_is_refused_with_both_numbers(
    engine: Engine, ref: ModelRef
) -> None:
    options = Options(temperature=0, num_ctx=32)
    request = Generate(model=ref, prompt="word " * 100, options=options, truncate=False)
    count = len(AutoTokenizer.from_pretrained(ref.path)(request.prompt)["input_ids"])
    with pytest.raises(ContextOverflow, match=f"{count} tokens where 32 fit"):
        await events_of(engine, request)
