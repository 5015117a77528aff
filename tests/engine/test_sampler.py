from __future__ import annotations

from collections import Counter

import pytest
import torch

from inference.engine.sampler import Sampler
from inference.protocol import Options

LOGITS = torch.log(torch.tensor([0.1, 0.4, 0.3, 0.15, 0.05]))


def draws(options: Options, count: int = 400) -> Counter[int]:
    sampler = Sampler(options)
    return Counter(sampler.draw(LOGITS) for _ in range(count))


def test_temperature_zero_takes_the_most_likely() -> None:
    assert set(draws(Options(temperature=0), 20)) == {1}


def test_same_seed_same_draws() -> None:
    def sequence(seed: int) -> list[int]:
        sampler = Sampler(Options(temperature=1, seed=seed))
        return [sampler.draw(LOGITS) for _ in range(50)]

    assert sequence(7) == sequence(7)
    assert sequence(7) != sequence(8)


def test_no_seed_is_random() -> None:
    runs = {tuple(Sampler(Options(temperature=1)).draw(LOGITS) for _ in range(1)) for _ in range(40)}
    assert len(runs) > 1


@pytest.mark.parametrize(
    ("options", "possible"),
    [
        (Options(temperature=1, seed=1), {0, 1, 2, 3, 4}),
        (Options(temperature=1, seed=1, top_k=2), {1, 2}),
        (Options(temperature=1, seed=1, top_k=1), {1}),
        (Options(temperature=1, seed=1, top_k=50), {0, 1, 2, 3, 4}),
        (Options(temperature=1, seed=1, top_p=0.6), {1, 2}),
        (Options(temperature=1, seed=1, top_p=0.0), {1}),
        (Options(temperature=1, seed=1, min_p=0.5), {1, 2}),
        (Options(temperature=1, seed=1, min_p=1.0), {1}),
    ],
)
def test_each_cut_leaves_what_it_should(options: Options, possible: set[int]) -> None:
    assert set(draws(options)) == possible


def test_draws_follow_the_probabilities() -> None:
    counts = draws(Options(temperature=1, seed=3), 4000)
    assert counts[1] / 4000 == pytest.approx(0.4, abs=0.03)
    assert counts[4] / 4000 == pytest.approx(0.05, abs=0.02)


def test_a_high_temperature_flattens() -> None:
    counts = draws(Options(temperature=100, seed=3), 4000)
    assert counts[4] / 4000 == pytest.approx(0.2, abs=0.03)
