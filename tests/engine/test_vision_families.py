"""Families of models that see, each tiny: ragged rows with pictures say what ``generate`` says of each."""

from __future__ import annotations

import copy
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from inference.engine.kernels.library import Kernels
from inference.engine.kernels.making import KernelsInTheMaking
from inference.engine.media import Merger
from inference.engine.plain_vision import PlainMedia, PlainVisionForward
from inference.engine.processors import load_processor
from inference.engine.vision_choice import choose_vision
from inference.engine.vision_forward import VisionForward
from inference.engine.vision_prompts import ChatProcessor, Processed
from inference.protocol import Message, Quantization
from tests.shapes import saved
from tests.tiny_vision import FAMILIES, make_tiny_vision, noise

COUNT = 12
ONE = Message(role="user", content="What is it?", images=(saved(noise(48, 40, 1)),))
OTHER = Message(role="user", content="What is it?", images=(saved(noise(48, 40, 2)),))
TWO = Message(
    role="user",
    content="Describe these, please, in a few words.",
    images=(saved(noise(80, 32, 3)), saved(noise(33, 64, 4))),
)
TEXT = Message(role="user", content="No picture here.")


class Tiny:
    """A family's tiny model and what ``generate`` says to its prompts."""

    def __init__(self, family: str, folder: Path) -> None:
        make_tiny_vision(family, folder)
        config = AutoConfig.from_pretrained(folder)
        self.model: Any = AutoModelForImageTextToText.from_pretrained(
            folder, config=getattr(config, "thinker_config", config), dtype=torch.float32
        ).eval()
        self.chats = ChatProcessor(load_processor(folder))
        # PaliGemma reads one picture in each prompt.
        messages = [ONE, OTHER, ONE] if family == "paligemma" else [ONE, TWO, OTHER, TEXT]
        self.prompts = [self.chats.process((message,), (), None) for message in messages]
        self.said = [self._alone(prompt) for prompt in self.prompts]

    def _alone(self, prompt: Processed) -> list[int]:
        output = self.model.generate(
            **prompt.inputs, do_sample=False, max_new_tokens=COUNT, eos_token_id=None
        )
        said: list[int] = output[0, len(prompt) :].tolist()
        return said


@pytest.fixture(scope="module")
def tiny(models_root: Path) -> Any:
    return cache(lambda family: Tiny(family, models_root / "families" / family))


@pytest.mark.parametrize("family", FAMILIES)
def test_ragged_rows_say_what_generate_says(tiny: Any, family: str) -> None:
    """Read in pieces, in slots that do not lie together, then decoded in one batch."""
    made = tiny(family)
    forward, perceive = choose_vision(made.model, made.prompts[:2], wanted=5, longest=256)
    assert isinstance(forward, VisionForward)
    slots, said = [0, 2, 3, 4][: len(made.prompts)], []
    for slot, prompt in zip(slots, made.prompts, strict=False):
        media, start = perceive(prompt.inputs, ""), 0
        while start < len(prompt):
            end = min(start + 10, len(prompt))
            end = media.cut_after(end) if media else end
            logits = forward.read(slot, start, prompt[start:end], media=media)
            start = end
        said.append([int(logits.argmax())])
    for _ in range(COUNT - 1):
        positions = [len(prompt) + len(words) - 1 for prompt, words in zip(made.prompts, said, strict=True)]
        logits = forward.decode(slots, positions, [words[-1] for words in said])
        for words, token in zip(said, logits.argmax(dim=-1).tolist(), strict=True):
            words.append(token)
    assert said == made.said


@pytest.mark.parametrize("family", FAMILIES)
def test_one_at_a_time_says_the_same(tiny: Any, family: str) -> None:
    """The way that is taken where batching is not possible."""
    made = tiny(family)
    forward = PlainVisionForward(made.model, 256)
    for prompt, expected in zip(made.prompts, made.said, strict=True):
        said = [int(forward.read(0, 0, prompt, media=PlainMedia(prompt.inputs)).argmax())]
        for _ in range(COUNT - 1):
            said.append(int(forward.decode([0], [len(prompt) + len(said) - 1], said[-1:]).argmax()))
        assert said == expected


@pytest.mark.parametrize("family", FAMILIES)
def test_pictures_matter_and_are_told_apart(tiny: Any, family: str) -> None:
    """Else the tests above would say nothing; and equal tokens are not taken for equal pictures."""
    made = tiny(family)
    merger = Merger(made.model)
    one, other = (made.chats.process((message,), (), None) for message in (ONE, OTHER))
    assert one == other
    first, again, second = (merger.merge(prompt.inputs) for prompt in (one, one, other))
    assert first.keys == again.keys
    assert [key for key in first.keys if key >= 0] == [key for key in second.keys if key >= 0]
    assert not {key for key in first.keys if key < 0} & {key for key in second.keys if key < 0}
    assert made._alone(one) != made._alone(other)


@pytest.mark.parametrize(
    ("family", "axes", "blocks"),
    [("qwen2_5_vl", 3, 0), ("gemma3", 1, 2), ("paligemma", 1, 1), ("llava", 1, 0)],
)
def test_what_a_language_model_is_handed(tiny: Any, family: str, axes: int, blocks: int) -> None:
    made = tiny(family)
    media = Merger(made.model).merge(made.prompts[1].inputs)
    assert len(media.positions) == axes
    assert len(media.blocks) == blocks
    for first, last in media.blocks:
        middle = (first + last) // 2
        assert media.cut_after(middle) == last + 1
        assert media.cut_before(middle) == first
        assert media.cut_after(first) == media.cut_before(first) == first
        assert media.blocks_in(first, last + 1) == ((first, last),)


def test_a_picture_is_looked_at_once_for_each_owner(tiny: Any) -> None:
    """However many turns follow."""
    made = tiny("qwen2_5_vl")
    merger, looks = Merger(made.model), []
    hook = made.model.model.visual.register_forward_hook(lambda *_: looks.append(1))
    later = made.chats.process((ONE, Message(role="assistant", content="Noise."), TEXT), (), None)
    other = made.chats.process((OTHER,), (), None)
    first = merger.merge(made.prompts[0].inputs, "me")
    second = merger.merge(later.inputs, "me")
    assert len(looks) == 1
    merger.merge(made.prompts[0].inputs, "you")
    merger.merge(other.inputs, "me")
    assert len(looks) == 3
    hook.remove()
    same = min(len(first.keys), len(second.keys)) // 2
    assert torch.equal(first.embeddings[:same], second.embeddings[:same])
    assert first.keys[:same] == second.keys[:same]


def test_a_model_whose_batch_says_something_else_runs_one_at_a_time(tiny: Any, monkeypatch: Any) -> None:
    made = tiny("llava")
    # As if the language model had more to go by than what a batch hands it.
    monkeypatch.setattr(type(made.model.get_decoder().norm), "forward", _by_length)
    forward, perceive = choose_vision(made.model, made.prompts[:2], wanted=4, longest=256)
    assert isinstance(forward, PlainVisionForward)
    assert isinstance(perceive(made.prompts[0].inputs, ""), PlainMedia)


def _by_length(self: Any, hidden: torch.Tensor) -> torch.Tensor:
    return hidden.roll(hidden.shape[0] + hidden.shape[1], dims=-1)


@pytest.mark.parametrize("quantization", ["int8", "int4"])
@pytest.mark.parametrize("family", ["llava", "idefics3", "gemma3", "qwen2_5_vl", "qwen3_vl", "qwen2_5_omni"])
def test_in_fewer_bits_it_is_near_the_model_in_sixteen(
    tiny: Any, kernels: Kernels, family: str, quantization: Quantization
) -> None:
    """All linear layers of the language model and its head are quantized, nothing of the towers is."""
    prompts = tiny(family).prompts[:2]
    model = copy.deepcopy(tiny(family).model).to(torch.bfloat16)
    # Weights as large as these blow up any rounding; those of trained models are smaller.
    for weight in model.get_decoder().layers.parameters():
        weight.data *= 0.3 if weight.dim() > 1 else 1
    sixteen = copy.deepcopy(model)
    expected = _after(prompts, *choose_vision(sixteen, prompts, wanted=2, longest=256))
    chosen = choose_vision(
        model, prompts, wanted=2, longest=256, quantization=quantization, making=KernelsInTheMaking(kernels)
    )
    assert isinstance(chosen[0], VisionForward)
    found = _after(prompts, *chosen)
    spread = (expected - expected.mean(dim=1, keepdim=True)).norm(dim=1)
    assert ((found - expected).norm(dim=1) / spread).max() < (0.15 if quantization == "int8" else 0.5)
    assert (found != expected).any()
    linears = {name: module for name, module in model.named_modules() if type(module) is torch.nn.Linear}
    quantized = {name for name, module in linears.items() if module.weight.numel() == 0}
    wanted = [name for name in linears if re.search("language_model|text_model|lm_head|thinker.model", name)]
    # In 4 bits without the kernels' own multiplication, only layers whose outputs are a multiple of 16.
    any_size = kernels.can_multiply or quantization == "int8"
    assert quantized == {name for name in wanted if any_size or linears[name].out_features % 16 == 0}


def _after(prompts: list[Processed], forward: Any, perceive: Any) -> torch.Tensor:
    """Logits after each prompt, in a slot of its own."""
    return torch.cat(
        [
            forward.read(slot, 0, prompt, media=perceive(prompt.inputs, "")).float()
            for slot, prompt in enumerate(prompts)
        ]
    )
