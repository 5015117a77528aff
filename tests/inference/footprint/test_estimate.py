from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.footprint.anatomy import anatomy_of
from inference.footprint.estimate import LADDER, estimate
from inference.protocol import Quantization
from tests.inference.footprint.llama import LLAMA_7B, PARAMETERS_7B, seven_billion


def test_a_known_model_takes_what_is_known_of_it() -> None:
    known = estimate(seven_billion(), device="cuda", number_size=2)
    assert known is not None
    assert known.weights == PARAMETERS_7B * 2
    # Half a megabyte a token is what everybody counts with for this model.
    assert known.cache == 2048 * 524_288


def test_a_shared_table_is_held_twice() -> None:
    apart = estimate(seven_billion(), device="cpu", number_size=2)
    shared = estimate(seven_billion(tie_word_embeddings=True), device="cpu", number_size=2)
    assert apart is not None
    assert shared is not None
    assert shared.weights - apart.weights == 32000 * 4096 * 2


@pytest.mark.parametrize("quantization", LADDER)
def test_on_a_gpu_a_shared_table_is_held_once(quantization: Quantization) -> None:
    """So the same numbers take less where the last layer is among those that are quantized."""
    guesses = [
        estimate(
            seven_billion(tie_word_embeddings=tied), device="cuda:1", number_size=2, quantization=quantization
        )
        for tied in (False, True)
    ]
    apart, shared = (guess.weights for guess in guesses if guess)
    smaller = {"none": 0, "int8": 1.0, "int4": 2 - 0.5625}[quantization]
    assert apart - shared == pytest.approx(smaller * 32000 * 4096, abs=1)


def test_each_step_of_the_ladder_takes_less() -> None:
    guesses = [estimate(seven_billion(), device="cpu", number_size=2, quantization=step) for step in LADDER]
    weights = [guess.weights for guess in guesses if guess]
    assert weights == sorted(weights, reverse=True)
    assert weights[1] == pytest.approx(7.6e9, rel=0.02)
    assert weights[2] == pytest.approx(4.4e9, rel=0.02)


@pytest.mark.parametrize(
    ("device", "config"),
    [
        ("cpu", {"architectures": ["BertModel"]}),
        ("cpu", {"quantization_config": {"bits": 4}}),
        ("cuda", {"quantization_config": {"bits": 4}}),
        ("mps", {}),
    ],
)
def test_what_cannot_be_quantized_has_no_estimate(device: str, config: dict[str, object]) -> None:
    assert estimate(seven_billion(**config), device=device, number_size=2, quantization="int8") is None


@pytest.mark.parametrize("name", ["LlamaForCausalLM", "BertModel"])
def test_bitsandbytes_leaves_words_and_the_last_layer_as_they_are(name: str) -> None:
    anatomy, words = seven_billion(architectures=[name]), 32000 * 4096
    kept = 2 * words if name == "LlamaForCausalLM" else words
    for quantization, size in (("int8", 1.0), ("int4", 0.5625)):
        guess = estimate(anatomy, device="cuda", number_size=2, quantization=quantization)  # type: ignore[arg-type]
        assert guess is not None
        assert guess.weights == 2 * kept + int(size * (PARAMETERS_7B - kept))


def test_pictures_are_drawn_as_the_model_is() -> None:
    drawing = replace(seven_billion(architectures=[]), picture=10**6)
    assert estimate(drawing, device="cuda", number_size=2, quantization="int8") is None


@pytest.mark.parametrize(
    ("device", "stored", "number_size", "twice"),
    [
        ("cpu", "F16", 2, False),  # read where they lie, and packed
        ("cpu", "F32", 2, True),  # converted, and packed
        ("cpu", "F16", 4, False),  # converted, and used so
        ("cuda", "F32", 2, False),
    ],
)
def test_weights_that_are_converted_and_packed_are_there_twice_for_a_moment(
    device: str, stored: str, number_size: int, twice: bool
) -> None:
    anatomy = anatomy_of(LLAMA_7B, {stored: PARAMETERS_7B})
    guess = estimate(anatomy, device=device, number_size=number_size)
    assert guess is not None
    assert guess.loading == (PARAMETERS_7B * number_size if twice else 0)
    assert guess.needed >= guess.resting + guess.loading


def test_a_measurement_takes_the_place_of_the_guess() -> None:
    guess = estimate(seven_billion(), device="cpu", number_size=2)
    assert guess is not None
    assert guess.measured(10**10).resting == 10**10
    assert guess.measured(0) == guess


numbers = st.one_of(
    st.integers(-(10**12), 10**12), st.none(), st.text(max_size=3), st.floats(), st.lists(st.none())
)


@given(st.dictionaries(st.sampled_from([*LLAMA_7B, "layer_types", "text_config", "head_dim"]), numbers))
def test_no_configuration_breaks_the_arithmetic(config: dict[str, object]) -> None:
    guess = estimate(anatomy_of(config, {"BF16": 100}), device="cpu", number_size=2)
    assert guess is not None
    assert guess.needed >= 200
