"""Models that run by transformers' own modules while kernels are being made, and go over to them."""

from __future__ import annotations

import copy
import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

from inference.engine.batch import Batch
from inference.engine.choice import choose_forward
from inference.engine.kernels import build
from inference.engine.kernels.library import Kernels
from inference.engine.kernels.making import KernelsInTheMaking
from inference.engine.linear import can_pack
from inference.engine.module_forward import ModuleForward
from inference.engine.processors import load_processor
from inference.engine.promise import Promise
from inference.engine.sampler import BatchSampler
from inference.engine.scheduler import Scheduler
from inference.engine.vision_choice import choose_vision
from inference.engine.vision_prompts import ChatProcessor
from inference.protocol import Message, Quantization
from tests.engine.test_families import FAMILIES, PROMPTS, TEXTS, run_alone, run_batched, tiny
from tests.engine.test_long_rope import SHORT, phi
from tests.kernels import SlowCompiler, engine_cache, needs_compiler, waited
from tests.serving import eventually
from tests.shapes import saved
from tests.tiny_vision import make_tiny_vision, noise

pytestmark = needs_compiler
PROMPT = PROMPTS[1]
AT = len(PROMPT)


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowCompiler]:
    """One that has what it makes at hand, once it may begin."""
    library = build.kernels_build(engine_cache() / "kernels")
    copier = tmp_path / "copier"
    copier.write_text(f'#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\nexec cp {library} "$2"\n')
    copier.chmod(0o700)
    slow = SlowCompiler(tmp_path, monkeypatch, command=str(copier))
    yield slow
    slow.end()


@pytest.fixture
def making(tmp_path: Path, compiler: SlowCompiler) -> KernelsInTheMaking:
    making = KernelsInTheMaking()
    making.start(tmp_path / "kernels")
    return making


@pytest.fixture
def in_vain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[SlowCompiler, KernelsInTheMaking]]:
    """A compiler that fails, once it may begin."""
    broken, making = SlowCompiler(tmp_path, monkeypatch, command="false"), KernelsInTheMaking()
    making.start(tmp_path / "kernels")
    yield broken, making
    broken.end()


def gemma(**more: Any) -> Any:
    return tiny("gemma2", FAMILIES["gemma2"] | more, torch.bfloat16)


def chosen(model: Any, making: KernelsInTheMaking, quantization: Quantization = "none") -> ModuleForward:
    """``model`` as it is loaded while kernels are in the ``making``."""
    forward = choose_forward(model, TEXTS, wanted=4, longest=64, quantization=quantization, making=making)
    assert isinstance(forward, ModuleForward)
    return forward


def nowhere() -> KernelsInTheMaking:
    """Kernels that nobody makes."""
    return KernelsInTheMaking()


def distance(logits: Tensor, expected: Tensor) -> float:
    return float((logits.float() - expected.float()).norm() / expected.float().norm())


def go_over(forward: ModuleForward) -> int:
    """Do all that there is to do between steps; how many things that was."""
    things = 0
    while forward.prepare(idle=True):
        things += 1
    return things


@pytest.mark.parametrize("family", ["gemma2", "gpt2", "phi3", "qwen3_moe"])
@pytest.mark.parametrize("quantization", ["int8", "int4"])
def test_weights_are_made_smaller_between_the_steps_of_an_answer(
    family: str, quantization: Quantization, compiler: SlowCompiler, making: KernelsInTheMaking
) -> None:
    model = tiny(family, FAMILIES[family], torch.bfloat16)
    forward = chosen(copy.deepcopy(model), making, quantization)
    as_it_is = chosen(copy.deepcopy(model), nowhere())
    for each in (forward, as_it_is):
        each.read(0, 0, PROMPT)
    assert forward.provisional and "to be quantized" in forward.manner
    assert not forward.prepare(idle=True), "they are still being made, and nobody waits for them"
    before = as_it_is.decode([0], [AT], [7])
    assert distance(forward.decode([0], [AT], [7]), before) < 0.02

    compiler.begin()
    made = waited(making)
    assert isinstance(made, Kernels)
    while forward.provisional:
        assert distance(forward.decode([0], [AT], [7]), before) < 0.02, "not before all are made"
        assert forward.prepare(idle=False)
    go_over(forward)
    assert "to be quantized" not in forward.manner
    # What was read before is still there: a slot in which nothing was read is far off.
    lost = distance(forward.decode([3], [AT], [7]), before)
    assert distance(forward.decode([0], [AT], [7]), before) < lost / 2
    # As if it had been loaded with the kernels at hand.
    at_once = chosen(model, KernelsInTheMaking(made), quantization)
    assert not at_once.provisional
    for each in (forward, at_once):
        each.read(1, 0, PROMPT)
    assert torch.equal(forward.decode([1], [AT], [7]), at_once.decode([1], [AT], [7]))
    assert run_batched(forward) == run_alone(forward) == run_batched(at_once)


def test_in_sixteen_bits_they_are_swapped_in_between_steps(
    compiler: SlowCompiler, making: KernelsInTheMaking
) -> None:
    model = gemma()
    if not can_pack(model.lm_head.weight):
        pytest.skip("without arithmetic in bfloat16 the layers of modules stay torch's own")
    forward, without = chosen(copy.deepcopy(model), making), chosen(copy.deepcopy(model), nowhere())
    for each in (forward, without):
        each.read(0, 0, PROMPT)
    assert not forward.prepare(idle=True)
    before = without.decode([0], [AT], [7])
    assert torch.equal(forward.decode([0], [AT], [7]), before)

    compiler.begin()
    made = waited(making)
    assert forward.prepare(idle=False)
    while forward.prepare(idle=False):
        # Some layers by the ones, some by the others: all the same, and in company.
        alone = forward.decode([0], [AT], [7])
        assert distance(alone, before) < 0.05
        assert torch.equal(forward.decode([0, 3], [AT, 0], [7, 8])[:1], alone)
    assert forward.decode([0], [AT], [7]).dtype is torch.float32, "as the kernels leave logits"
    at_once = chosen(model, KernelsInTheMaking(made))
    for each in (forward, at_once):
        each.read(1, 0, PROMPT)
    assert torch.equal(forward.decode([1], [AT], [7]), at_once.decode([1], [AT], [7]))
    assert run_batched(forward) == run_alone(forward) == run_batched(at_once)


def test_the_same_row_alone_and_in_company_before_it_is_quantized(making: KernelsInTheMaking) -> None:
    forward = chosen(gemma(), making, "int8")
    assert run_batched(forward) == run_alone(forward)


@pytest.mark.parametrize("quantization", ["none", "int8", "int4"])
def test_a_compiler_that_fails_harms_nobody(
    quantization: Quantization, in_vain: tuple[SlowCompiler, KernelsInTheMaking]
) -> None:
    """The head of this model has 120 outputs: in 4 bits torch leaves it as it is."""
    broken, making = in_vain
    model = gemma(vocab_size=120)
    forward = chosen(copy.deepcopy(model), making, quantization)
    forward.read(0, 0, PROMPT)
    broken.begin()
    assert waited(making) is None
    go_over(forward)
    assert not forward.provisional
    at_once = chosen(model, nowhere(), quantization)
    assert torch.equal(forward.read(1, 0, PROMPT), at_once.read(1, 0, PROMPT))


@pytest.mark.parametrize("quantization", ["none", "int4"])
def test_a_model_that_does_not_bear_it_goes_on_as_it_is(
    quantization: Quantization, compiler: SlowCompiler, making: KernelsInTheMaking
) -> None:
    forward = chosen(gemma(), making, quantization)
    forward.expect(Promise(making, lambda twin: False))
    before = forward.read(0, 0, PROMPT)
    compiler.begin()
    waited(making)
    go_over(forward)
    assert forward.provisional == (quantization == "int4")
    assert torch.equal(forward.read(1, 0, PROMPT), before)


def test_a_trial_that_breaks_ends_no_answer(compiler: SlowCompiler, making: KernelsInTheMaking) -> None:
    forward = chosen(gemma(), making, "int8")

    def breaks(twin: ModuleForward) -> bool:
        twin.allocate(1, 8)
        raise ZeroDivisionError

    forward.expect(Promise(making, breaks))
    before = forward.read(0, 0, PROMPT)
    compiler.begin()
    waited(making)
    with pytest.raises(ZeroDivisionError):
        go_over(forward)
    assert not forward.prepare(idle=True), "it is not tried again"
    assert torch.equal(forward.read(1, 0, PROMPT), before)


def test_they_are_swapped_in_though_no_request_comes(
    compiler: SlowCompiler, making: KernelsInTheMaking
) -> None:
    forward = chosen(gemma(), making, "int8")
    batch = Batch(Scheduler(forward, BatchSampler()), places=4, max_queue=1)
    making.tell(batch.prepare)
    compiler.begin()
    eventually(lambda: not forward.provisional, lambda: forward.manner, seconds=60)
    batch.close()


def test_frequencies_are_those_of_the_context_after_the_trial(
    compiler: SlowCompiler, making: KernelsInTheMaking
) -> None:
    """The trial's slots are short: their length must not decide how a long text is read."""
    model = phi().to(torch.bfloat16)
    forward = choose_forward(model, TEXTS, wanted=4, longest=2 * SHORT, quantization="int8", making=making)
    long = [module.long_inv_freq.clone() for module in model.modules() if hasattr(module, "long_inv_freq")]
    compiler.begin()
    waited(making)
    assert isinstance(forward, ModuleForward)
    assert go_over(forward) and not forward.provisional
    now = [module.long_inv_freq for module in model.modules() if hasattr(module, "long_inv_freq")]
    assert long and all(torch.equal(first, second) for first, second in zip(long, now, strict=True))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process has mapped")
def test_the_file_is_let_go_when_nothing_waits_any_more(
    tmp_path: Path, compiler: SlowCompiler, making: KernelsInTheMaking
) -> None:
    folder = tmp_path / "model"
    gemma().save_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
    forward = chosen(model, making, "int8")
    gc.collect()
    assert mapped(folder), "until then weights stay where they lie"
    compiler.begin()
    waited(making)
    go_over(forward)
    gc.collect()
    assert not mapped(folder)


def mapped(folder: Path) -> bool:
    return str(folder) in Path("/proc/self/maps").read_text()


@pytest.mark.parametrize("quantization", ["int8", "none"])
def test_a_model_that_sees_goes_over_too(
    tmp_path: Path, quantization: Quantization, compiler: SlowCompiler, making: KernelsInTheMaking
) -> None:
    folder = tmp_path / "llava"
    make_tiny_vision("llava", folder)
    model = AutoModelForImageTextToText.from_pretrained(
        folder, config=AutoConfig.from_pretrained(folder), dtype=torch.bfloat16
    ).eval()
    if not can_pack(model.lm_head.weight):
        pytest.skip("without arithmetic in bfloat16 the layers of modules stay torch's own")
    chats = ChatProcessor(load_processor(folder))
    messages = [
        Message(role="user", content="What?", images=(saved(noise(48, 40, seed)),)) for seed in (1, 2)
    ]
    prompts = [chats.process((message,), (), None) for message in messages]

    def loaded(model: Any, making: KernelsInTheMaking) -> tuple[Any, Any]:
        return choose_vision(model, prompts, wanted=2, longest=256, quantization=quantization, making=making)

    other = copy.deepcopy(model)
    forward, perceive = loaded(model, making)
    media = perceive(prompts[0].inputs, "")
    forward.read(0, 0, prompts[0], media=media)
    compiler.begin()
    made = waited(making)
    assert go_over(forward) and not forward.provisional
    at_once, _ = loaded(other, KernelsInTheMaking(made))
    for each in (forward, at_once):
        each.read(1, 0, prompts[0], media=media)
    count = len(prompts[0])
    assert torch.equal(forward.decode([1], [count], [7]), at_once.decode([1], [count], [7]))
    # What was read before is still there, and where the picture left it: another slot is far off.
    expected = at_once.decode([1], [count], [7])
    forward.read(1, 0, prompts[1], media=perceive(prompts[1].inputs, ""))
    lost = distance(forward.decode([1], [count], [7]), expected)
    assert distance(forward.decode([0], [count], [7]), expected) < lost / 2
