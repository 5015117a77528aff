"""Kernels that are made while a model is in use already."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from inference.engine.choice import choose_forward
from inference.engine.kernels.library import Kernels
from inference.engine.kernels.making import KernelsInTheMaking
from inference.engine.lean_forward import LeanForward, Promise
from tests.engine.test_families import FAMILIES, TEXTS, tiny

PROMPT = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3]


class Slow:
    """A compiler that begins when it is told to."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._gate = folder / "gate"
        compiler = folder / "cc"
        compiler.write_text(
            f'#!/bin/sh\nwhile [ ! -e {self._gate} ]; do sleep 0.02; done\nexec /usr/bin/cc "$@"\n'
        )
        compiler.chmod(0o700)
        monkeypatch.setenv("CC", str(compiler))

    def begin(self) -> None:
        self._gate.touch()


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slow:
    return Slow(tmp_path, monkeypatch)


@pytest.fixture
def making(tmp_path: Path, compiler: Slow) -> KernelsInTheMaking:
    making = KernelsInTheMaking()
    making.start(tmp_path / "kernels")
    return making


def loaded(making: KernelsInTheMaking) -> LeanForward:
    """A model as it is loaded while kernels are being made."""
    model = tiny("llama", FAMILIES["llama"], torch.bfloat16)
    forward = choose_forward(model, TEXTS, wanted=2, longest=64, making=making)
    assert isinstance(forward, LeanForward)
    return forward


def distance(logits: Tensor, expected: Tensor) -> float:
    return float((logits.float() - expected.float()).norm() / expected.float().norm())


def test_they_are_swapped_in_between_two_steps_of_an_answer(
    compiler: Slow, making: KernelsInTheMaking
) -> None:
    forward, beside = loaded(making), loaded(KernelsInTheMaking())
    for each in (forward, beside):
        each.read(0, 0, PROMPT)
    assert not forward.prepare(idle=False), "they are still being made, and nobody waits for them"
    assert torch.equal(forward.decode([0], [10], [7]), beside.decode([0], [10], [7]))
    assert "compiled kernels" not in forward.manner

    compiler.begin()
    assert isinstance(making.get(), Kernels)
    assert forward.prepare(idle=False)
    assert "compiled kernels" in forward.manner
    while forward.prepare(idle=True):
        pass
    # What was read before is still there, and what is read now goes on from it.
    assert distance(forward.decode([0], [11], [8]), beside.decode([0], [11], [8])) < 0.05
    assert distance(forward.read(0, 12, PROMPT), beside.read(0, 12, PROMPT)) < 0.05


def test_those_that_give_other_logits_are_left_alone(compiler: Slow, making: KernelsInTheMaking) -> None:
    forward = loaded(making)
    tried: list[LeanForward] = []
    forward.expect(Promise(making, lambda twin: tried.append(twin) or False))
    compiler.begin()
    making.get()
    assert not forward.prepare(idle=True)
    assert len(tried) == 1 and "compiled kernels" in tried[0].manner
    assert "compiled kernels" not in forward.manner
    assert forward.read(0, 0, PROMPT).isfinite().all()


def test_without_a_compiler_nothing_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", str(tmp_path / "nowhere"))
    making = KernelsInTheMaking()
    making.start(tmp_path / "kernels")
    forward = loaded(making)
    assert making.get() is None
    forward.prepare(idle=True)
    assert "compiled kernels" not in forward.manner
