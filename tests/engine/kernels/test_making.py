"""Kernels that are made while a model is in use already."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from inference.engine.batch import Batch
from inference.engine.choice import choose_forward
from inference.engine.kernels.library import Kernels
from inference.engine.kernels.making import KernelsInTheMaking
from inference.engine.lean_forward import LeanForward
from inference.engine.promise import Promise
from inference.engine.sampler import BatchSampler
from inference.engine.scheduler import Scheduler
from inference.protocol import Quantization
from tests.engine.test_families import FAMILIES, TEXTS, tiny
from tests.kernels import SlowCompiler, needs_compiler, waited
from tests.serving import eventually

pytestmark = needs_compiler
PROMPT = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3]


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowCompiler]:
    slow = SlowCompiler(tmp_path, monkeypatch)
    yield slow
    slow.end()


@pytest.fixture
def making(tmp_path: Path, compiler: SlowCompiler) -> KernelsInTheMaking:
    making = KernelsInTheMaking()
    making.start(tmp_path / "kernels")
    return making


def loaded(making: KernelsInTheMaking, quantization: Quantization = "none") -> LeanForward:
    """A model as it is loaded while kernels are being made."""
    model = tiny("llama", FAMILIES["llama"], torch.bfloat16)
    forward = choose_forward(model, TEXTS, wanted=2, longest=64, quantization=quantization, making=making)
    assert isinstance(forward, LeanForward)
    return forward


def distance(logits: Tensor, expected: Tensor) -> float:
    return float((logits.float() - expected.float()).norm() / expected.float().norm())


def test_they_are_swapped_in_between_two_steps_of_an_answer(
    compiler: SlowCompiler, making: KernelsInTheMaking
) -> None:
    forward, beside = loaded(making), loaded(KernelsInTheMaking())
    for each in (forward, beside):
        each.read(0, 0, PROMPT)
    assert not forward.prepare(idle=False), "they are still being made, and nobody waits for them"
    assert torch.equal(forward.decode([0], [10], [7]), beside.decode([0], [10], [7]))
    assert "compiled kernels" not in forward.manner

    compiler.begin()
    assert isinstance(waited(making), Kernels)
    assert forward.prepare(idle=False)
    assert "compiled kernels" in forward.manner
    while forward.prepare(idle=True):
        pass
    # What was read before is still there, and what is read now goes on from it.
    assert distance(forward.decode([0], [11], [8]), beside.decode([0], [11], [8])) < 0.05
    assert distance(forward.read(0, 12, PROMPT), beside.read(0, 12, PROMPT)) < 0.05


def test_they_are_swapped_in_though_no_request_comes(
    compiler: SlowCompiler, making: KernelsInTheMaking
) -> None:
    forward = loaded(making, "int8")
    batch = Batch(Scheduler(forward, BatchSampler()), places=2, max_queue=1)
    making.tell(batch.prepare)
    compiler.begin()
    eventually(lambda: not forward.provisional, lambda: forward.manner, seconds=60)
    batch.close()
    assert "compiled kernels" in forward.manner


def test_whoever_asks_too_late_is_told_at_once(tmp_path: Path) -> None:
    """They may have been made while a model was loaded that was to wait for them."""
    told = threading.Event()
    KernelsInTheMaking().tell(told.set)
    assert told.is_set()


def test_those_that_give_other_logits_are_left_alone(
    compiler: SlowCompiler, making: KernelsInTheMaking
) -> None:
    forward = loaded(making)
    tried: list[LeanForward] = []
    forward.expect(Promise(making, lambda twin: tried.append(twin) or False))
    compiler.begin()
    waited(making)
    assert not forward.prepare(idle=True)
    assert len(tried) == 1 and "compiled kernels" in tried[0].manner
    assert "compiled kernels" not in forward.manner
    assert forward.read(0, 0, PROMPT).isfinite().all()


@pytest.mark.parametrize("quantization", ["int8", "int4"])
def test_weights_are_made_smaller_between_steps(
    quantization: Quantization, compiler: SlowCompiler, making: KernelsInTheMaking
) -> None:
    forward, as_it_is = loaded(making, quantization), loaded(KernelsInTheMaking())
    for each in (forward, as_it_is):
        each.read(0, 0, PROMPT)
    assert forward.provisional and not forward.prepare(idle=False)
    assert distance(forward.decode([0], [10], [7]), as_it_is.decode([0], [10], [7])) < 0.02

    compiler.begin()
    made = waited(making)
    layers = 0
    while forward.prepare(idle=False):
        forward.decode([0], [10], [7])
        layers += 1
    assert layers > 1 and not forward.provisional
    assert "compiled kernels" in forward.manner
    # As if it had been loaded with the kernels at hand.
    at_once = loaded(KernelsInTheMaking(made), quantization)
    for each in (forward, at_once):
        each.read(1, 0, PROMPT)
    assert torch.equal(forward.decode([1], [10], [7]), at_once.decode([1], [10], [7]))


def test_the_same_row_alone_and_in_company_before_it_is_quantized(making: KernelsInTheMaking) -> None:
    forward = loaded(making, "int8")
    for slot in (0, 1):
        forward.read(slot, 0, PROMPT)
    together = forward.decode([0, 1], [10, 10], [7, 8])
    assert torch.equal(forward.decode([0], [10], [7]), together[:1])


def test_a_model_that_does_not_bear_it_goes_on_as_it_is(
    compiler: SlowCompiler, making: KernelsInTheMaking
) -> None:
    forward = loaded(making, "int4")
    forward.expect(Promise(making, lambda twin: False))
    before = forward.read(0, 0, PROMPT)
    compiler.begin()
    waited(making)
    while forward.prepare(idle=True):
        pass
    assert "to be quantized" in forward.manner
    assert torch.equal(forward.read(1, 0, PROMPT), before)


def test_where_they_cannot_be_made_weights_are_made_smaller_by_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = SlowCompiler(tmp_path, monkeypatch, command="false")
    making = KernelsInTheMaking()
    making.start(tmp_path / "kernels")
    forward, at_once = loaded(making, "int8"), loaded(KernelsInTheMaking(), "int8")
    assert forward.provisional and not at_once.provisional
    broken.begin()
    assert waited(making) is None
    while forward.prepare(idle=True):
        pass
    assert not forward.provisional
    assert torch.equal(forward.read(0, 0, PROMPT), at_once.read(0, 0, PROMPT))


def test_without_a_compiler_nothing_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", str(tmp_path / "nowhere"))
    making = KernelsInTheMaking()
    making.start(tmp_path / "kernels")
    forward = loaded(making)
    assert waited(making) is None
    forward.prepare(idle=True)
    assert "compiled kernels" not in forward.manner
