from __future__ import annotations

import random
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from inference.engine.row import Row
from inference.engine.rows import DEFAULTS
from inference.engine.sampler import BatchSampler
from inference.protocol import Options

LOGITS = torch.log(torch.tensor([0.1, 0.4, 0.3, 0.15, 0.05]))
PLAIN = Options(temperature=1, top_k=0, top_p=1, min_p=0)


def row(options: Options, prompt: tuple[int, ...] = (0,)) -> Row:
    complete = options.over(PLAIN).over(DEFAULTS)
    return Row(
        prompt=list(prompt),
        options=complete,
        limit=10,
        ends=frozenset(),
        decode=str,
        deliver=lambda events: None,
    )


def draws(options: Options, count: int = 400, prompt: tuple[int, ...] = (0,)) -> Counter[int]:
    drawer, sampler = row(options, prompt), BatchSampler()
    return Counter(sampler.draw(LOGITS[None], [drawer])[0] for _ in range(count))


def test_temperature_zero_takes_the_most_likely() -> None:
    assert set(draws(Options(temperature=0), 20)) == {1}


def test_no_seed_is_random() -> None:
    assert len({draws(Options(), 1).most_common()[0][0] for _ in range(60)}) > 1


@pytest.mark.parametrize(
    ("options", "possible"),
    [
        (Options(seed=1), {0, 1, 2, 3, 4}),
        (Options(seed=1, top_k=2), {1, 2}),
        (Options(seed=1, top_k=1), {1}),
        (Options(seed=1, top_k=50), {0, 1, 2, 3, 4}),
        (Options(seed=1, top_p=0.6), {1, 2}),
        (Options(seed=1, top_p=0.0), {1}),
        (Options(seed=1, min_p=0.5), {1, 2}),
        (Options(seed=1, min_p=1.0), {1}),
        (Options(seed=1, typical_p=0.2), {2}),
        (Options(seed=1, typical_p=0.0, top_p=0.0), {2}),
        (Options(seed=1, top_k=3, top_p=0.5), {1, 2}),
        (Options(seed=1, logit_bias={4: 100.0}), {4}),
        (Options(seed=1, logit_bias={1: -100.0, 2: -100.0}), {0, 3, 4}),
    ],
)
def test_each_cut_leaves_what_it_should(options: Options, possible: set[int]) -> None:
    assert set(draws(options)) == possible


def test_draws_follow_the_probabilities() -> None:
    counts = draws(Options(seed=3), 4000)
    assert counts[1] / 4000 == pytest.approx(0.4, abs=0.03)
    assert counts[4] / 4000 == pytest.approx(0.05, abs=0.02)


def test_a_high_temperature_flattens() -> None:
    counts = draws(Options(temperature=100, seed=3), 4000)
    assert counts[4] / 4000 == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize(
    ("options", "likeliest"),
    [
        (Options(temperature=0, presence_penalty=0.5), 2),
        (Options(temperature=0, frequency_penalty=0.2), 2),
        (Options(temperature=0, repeat_penalty=3.0), 2),
        (Options(temperature=0, presence_penalty=0.5, repeat_last_n=0), 1),
        (Options(temperature=0, presence_penalty=0.5, repeat_last_n=1), 1),
        (Options(temperature=0, presence_penalty=0.5, repeat_last_n=-1), 2),
        (Options(temperature=0, presence_penalty=-2.0), 1),
    ],
)
def test_penalties_look_at_what_was_said_lately(options: Options, likeliest: int) -> None:
    """Token 1 was said twice, then token 3."""
    assert set(draws(options, 5, prompt=(1, 1, 3))) == {likeliest}


def test_a_frequent_word_is_punished_more() -> None:
    options = Options(temperature=0, frequency_penalty=0.2, logit_bias={2: 0.2})
    assert set(draws(options, 1, prompt=(1, 2))) == {1}
    assert set(draws(options, 1, prompt=(1, 1, 2))) == {2}


TIED = torch.tensor([2.0, 5.0, 5.0, 5.0, 1.0, 5.0]).repeat(200)


@given(st.integers(0, 50), st.sampled_from([0.0, 1.0]), st.integers(1, 1200))
def test_ties_fall_the_same_whatever_others_choose_from(seed: int, temperature: float, top_k: int) -> None:
    """How many candidates one row has must not decide which of equals another one draws."""
    options = Options(seed=seed, temperature=temperature, top_k=3)
    other = Options(seed=1, temperature=1, top_k=top_k)
    sampler = BatchSampler()
    together = sampler.draw(TIED.expand(2, -1), [row(options), row(other)])
    assert together[0] == sampler.draw(TIED[None], [row(options)])[0]


@pytest.mark.parametrize("peaked", [0.5, 6.0])
@pytest.mark.parametrize(("top_p", "min_p"), [(0.9, 0.0), (1.0, 0.05), (0.99, 0.001)])
def test_a_large_vocabulary_is_cut_as_if_all_of_it_were_put_in_order(
    peaked: float, top_p: float, min_p: float
) -> None:
    """Whether what is left after the cuts is little or much."""
    logits = torch.randn(4000, generator=torch.Generator().manual_seed(1)) * peaked
    ordered, tokens = logits.sort(descending=True)
    probabilities = ordered.softmax(dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities
    left = probabilities * ((before < top_p) & (probabilities >= min_p * probabilities[0]))
    sums = (left / left.sum()).double().cumsum(dim=-1)
    for seed in range(40):
        drawer = row(Options(temperature=1, seed=seed, top_k=0, top_p=top_p, min_p=min_p))
        place = int((sums <= random.Random(seed).random()).sum())
        assert BatchSampler().draw(logits[None], [drawer]) == [int(tokens[place])]


def test_what_is_typical_of_a_large_vocabulary_may_be_unlikely() -> None:
    """A fifth is certain, the rest one of 4000: these are the typical ones, of which the best are left."""
    logits = torch.cat((torch.tensor([0.2]), torch.full((4000,), 0.8 / 4000))).log()
    options = Options(temperature=1, seed=1, top_k=0, typical_p=0.5, top_p=0.9)
    assert 0 not in {BatchSampler().draw(logits[None], [row(options)])[0] for _ in range(5)}


@pytest.mark.parametrize("top_k", [0, 2])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_logits_that_are_no_numbers_give_no_token(temperature: float, broken: float, top_k: int) -> None:
    logits = torch.stack([LOGITS, LOGITS.clone(), LOGITS])
    logits[1, 2] = broken
    drawers = [row(Options(temperature=temperature, seed=1, top_k=top_k)) for _ in range(3)]
    tokens = BatchSampler().draw(logits, drawers)
    assert [token is None for token in tokens] == [False, True, False]


def test_scores_are_logprobs_of_the_tokens_that_were_asked_for() -> None:
    logits = torch.stack([LOGITS + 7, LOGITS * 0, LOGITS - 3])
    first, nothing, last = BatchSampler().score(logits, [4, 1, 1], [2, None, 0])
    assert first is not None
    assert first.logprob == pytest.approx(float(LOGITS[4]), abs=1e-5)
    assert [token for token, _ in first.top] == [1, 2]
    assert [logprob for _, logprob in first.top] == pytest.approx(LOGITS[[1, 2]].tolist(), abs=1e-5)
    assert nothing is None
    assert last is not None
    assert (last.logprob, last.top) == (pytest.approx(float(LOGITS[1]), abs=1e-5), [])


def test_scores_of_a_long_prompt_are_each_its_own() -> None:
    """More than are computed at once."""
    logits = torch.randn(100, 50, generator=torch.Generator().manual_seed(0))
    tokens = [index % 50 for index in range(100)]
    scores = BatchSampler().score(logits, tokens, [1] * 100)
    expected = logits.log_softmax(dim=-1)
    for index, score in enumerate(scores):
        assert score is not None
        assert score.logprob == pytest.approx(float(expected[index, tokens[index]]), abs=1e-5)
        assert score.top[0][0] == int(expected[index].argmax())


def test_a_probability_of_zero_is_a_number() -> None:
    """JSON knows no infinity."""
    logits = torch.tensor([[0.0, -torch.inf, 1.0]])
    (score,) = BatchSampler().score(logits, [1], [3])
    assert score is not None
    assert score.logprob == score.top[-1][1] == -9999.0


options_of_a_row = st.builds(
    Options,
    temperature=st.sampled_from([0.0, 0.5, 1.0, 2.0]),
    top_k=st.sampled_from([0, 1, 3]),
    top_p=st.sampled_from([0.3, 0.9, 1.0]),
    min_p=st.sampled_from([0.0, 0.2]),
    typical_p=st.sampled_from([0.5, 1.0]),
    repeat_penalty=st.sampled_from([1.0, 1.3]),
    seed=st.integers(0, 5),
)


@given(st.lists(options_of_a_row, min_size=2, max_size=6))
def test_a_row_draws_the_same_in_any_batch(rows: list[Options]) -> None:
    sampler = BatchSampler()
    logits = torch.stack([LOGITS.roll(index) for index in range(len(rows))])
    together, alone = [row(options) for options in rows], [row(options) for options in rows]
    for _ in range(4):
        batched = sampler.draw(logits, together)
        single = [sampler.draw(logits[index][None], [drawer])[0] for index, drawer in enumerate(alone)]
        assert batched == single
