"""Models with frequencies for short texts and for long ones: a row's numbers are its own."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from inference.engine.choice import choose_forward
from inference.engine.module_forward import ModuleForward
from inference.engine.plain_forward import PlainForward
from tests.engine.test_families import NO_HEAD_DIM, PROMPTS, TEXTS, alone, run_batched, tiny

SHORT = 64
LONG_TEXT = [(7 * index) % 100 for index in range(80)]


def phi(short: int = SHORT) -> Any:
    """A Phi 3 that was trained on texts of up to ``short`` tokens, and made to read longer ones."""
    rope = {"rope_type": "longrope", "rope_theta": 10_000.0, "partial_rotary_factor": 1.0}
    factors = {"short_factor": [1.0] * 4, "long_factor": [3.0, 4.0, 5.0, 6.0]}
    more = {"rope_parameters": rope | factors | {"original_max_position_embeddings": short}}
    return tiny("phi3", NO_HEAD_DIM | more | {"original_max_position_embeddings": short})


def batched(context: int) -> ModuleForward:
    forward = choose_forward(phi(), TEXTS, wanted=4, longest=context)
    assert isinstance(forward, ModuleForward)
    return forward


@pytest.mark.parametrize("beside", [[], LONG_TEXT])
def test_a_short_text_is_the_same_beside_a_long_one(beside: list[int]) -> None:
    """And beside a slot that has nothing to say."""
    forward, text = batched(256), PROMPTS[0]
    forward.read(0, 0, text[:-1])
    by_itself = forward.decode([0], [len(text) - 1], text[-1:])
    forward.read(2, 0, beside or text)
    places, last = [len(text) - 1, len(beside or text)], [text[-1], 9]
    assert torch.allclose(forward.decode([0, 2], places, last)[:1], by_itself, atol=1e-4)


def test_a_long_text_is_the_same_in_whatever_pieces_it_is_read() -> None:
    for forward in (batched(256), PlainForward(phi(), 256)):
        whole = forward.read(0, 0, LONG_TEXT)
        forward.read(0, 0, LONG_TEXT[:50])
        pieces = forward.read(0, 50, LONG_TEXT[50:])
        assert torch.allclose(whole, pieces, atol=1e-4)
        ids = torch.tensor([LONG_TEXT])
        assert torch.allclose(whole, phi()(ids).logits[:, -1], atol=1e-4), "as the model itself reads it"


def test_a_short_context_keeps_to_short_texts() -> None:
    model = phi()
    said = run_batched(choose_forward(model, TEXTS, wanted=4, longest=SHORT))
    assert said == [alone(model, prompt) for prompt in PROMPTS]
