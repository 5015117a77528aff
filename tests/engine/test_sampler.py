from __future__ import annotations

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
