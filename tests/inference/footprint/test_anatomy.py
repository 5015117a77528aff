from __future__ import annotations

import pytest

from inference.engine import lean_forward
from inference.footprint.anatomy import LEAN
from tests.inference.footprint.llama import LLAMA_7B, seven_billion


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


def test_the_families_are_those_of_the_lean_pass() -> None:
    assert LEAN == lean_forward.FAMILIES
