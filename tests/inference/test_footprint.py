from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from inference.engine import lean_forward
from inference.errors import LoadFailed
from inference.footprint import LADDER, LEAN, Anatomy, anatomy_of, anatomy_read, estimate
from inference.protocol import Quantization

LLAMA_7B = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "vocab_size": 32000,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
}
PARAMETERS_7B = 6_738_415_616


def seven_billion(**changes: object) -> Anatomy:
    return anatomy_of({**LLAMA_7B, **changes}, {"F16": PARAMETERS_7B})


def test_a_known_model_takes_what_is_known_of_it() -> None:
    known = estimate(seven_billion(), device="cuda", number_size=2)
    assert known is not None
    assert known.weights == PARAMETERS_7B * 2
    # Half a megabyte a token is what everybody counts with for this model.
    assert known.cache == 2048 * 524_288


@pytest.mark.parametrize(
    ("config", "cached"),
    [
        ({"num_key_value_heads": 8}, 2 * 32 * 8 * 128),
        ({"head_dim": 64}, 2 * 32 * 32 * 64),
        ({"layer_types": ["full_attention"] * 8 + ["linear_attention"] * 24}, 2 * 8 * 32 * 128),
        ({"layer_types": ["mamba"] * 32}, 0),
        ({"architectures": ["BertModel"]}, 0),
        ({"qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128}, 32 * 32 * (64 + 128 + 128)),
        ({"text_config": {**LLAMA_7B, "num_hidden_layers": 2}}, 2 * 2 * 32 * 128),
    ],
)
def test_keys_and_values_of_a_token(config: dict[str, object], cached: int) -> None:
    assert seven_billion(**config).cached == cached


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


def test_folders_are_read_by_their_headers(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_7B | {"tie_word_embeddings": True}))
    save_file(
        {"model.embed_tokens.weight": torch.zeros(10, 4), "lm_head.weight": torch.zeros(10, 4)},
        tmp_path / "model-1.safetensors",
    )
    save_file({"a": torch.zeros(7, dtype=torch.bfloat16)}, tmp_path / "model-2.safetensors", {"format": "pt"})
    anatomy = anatomy_read(tmp_path)
    assert (anatomy.numbers, anatomy.stored, anatomy.number_size) == (87, 2 * 160 + 14, 4)
    # What the files hold counts for more than what the configuration says.
    assert anatomy.tied is False


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff" * 8, b"\x02\0\0\0\0\0\0\0[]", b"\x02\0\0\0\0\0\0\0{", b'\x07\0\0\0\0\0\0\0{"a":1}'],
)
def test_damaged_files_are_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_7B))
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(LoadFailed, match="Pull the model again") as error:
        anatomy_read(tmp_path)
    assert str(tmp_path) not in str(error.value)


numbers = st.one_of(
    st.integers(-(10**12), 10**12), st.none(), st.text(max_size=3), st.floats(), st.lists(st.none())
)


@given(st.dictionaries(st.sampled_from([*LLAMA_7B, "layer_types", "text_config", "head_dim"]), numbers))
def test_no_configuration_breaks_the_arithmetic(config: dict[str, object]) -> None:
    guess = estimate(anatomy_of(config, {"BF16": 100}), device="cpu", number_size=2)
    assert guess is not None
    assert guess.needed >= 200


def test_the_families_are_those_of_the_lean_pass() -> None:
    assert LEAN == lean_forward.FAMILIES
