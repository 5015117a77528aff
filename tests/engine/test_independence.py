"""A request alone, and in a batch of sixteen different ones: the same text, with real passes and draws."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from msgspec.structs import replace

from inference.engine.kernels.library import Kernels
from inference.engine.lean_forward import LeanForward
from inference.engine.logprobs import LogprobReport
from inference.engine.module_forward import ModuleForward
from inference.engine.row import Row
from inference.engine.rows import DEFAULTS
from inference.engine.sampler import BatchSampler
from inference.engine.samples import Deliver, sampled
from inference.engine.scheduler import Scheduler
from inference.protocol import Options, Quantization
from tests.engine.test_families import tiny

OPTIONS = (
    Options(temperature=0),
    Options(temperature=1.0),
    Options(temperature=0.7, top_k=0, min_p=0.05),
    Options(temperature=1.5, top_k=100, typical_p=0.9),
    Options(temperature=0, repeat_penalty=1.3, repeat_last_n=-1),
)
REQUESTS = 16
SLOTS = 16


def rows_of(number: int) -> list[Row]:
    """A request unlike the others: three of four are for several samples, and every fifth shifts."""
    prompt = [(number * 7 + index * (number + 3)) % 128 for index in range(3 + 5 * (number % 7))]

    def make_row(sample: int, leader: Row | None, deliver: Deliver) -> Row:
        return Row(
            prompt=prompt,
            options=replace(OPTIONS[number % len(OPTIONS)].over(DEFAULTS), seed=number),
            limit=20,
            ends=frozenset(),
            decode=str,
            deliver=deliver,
            owner=str(number),
            report=LogprobReport(lambda token: b"%d" % token, 2) if number % 3 == 0 else None,
            context=40 if number % 5 == 0 else None,
            keep=2,
            sample=sample,
            leader=leader,
        )

    return sampled(1 + number % 4, make_row, lambda events: None)


def answers(forward: Any, numbers: list[int], slots: int) -> dict[int, list[list[int]]]:
    forward.allocate(slots, 64)
    scheduler: Scheduler[torch.Tensor] = Scheduler(forward, BatchSampler())
    requests = {number: rows_of(number) for number in numbers}
    for rows in requests.values():
        scheduler.waiting.extend(rows)
    while scheduler.busy:
        scheduler.step()
    assert all(row.generated == 20 for rows in requests.values() for row in rows)
    return {number: [row.tokens for row in rows] for number, rows in requests.items()}


@pytest.mark.parametrize(
    ("quantization", "dtype"),
    [
        ("none", torch.float32),
        ("none", torch.bfloat16),
        ("int8", torch.bfloat16),
        ("int4", torch.bfloat16),
    ],
)
@pytest.mark.parametrize("slots", [1, 5])
def test_alone_and_among_many(
    quantization: Quantization, dtype: torch.dtype, slots: int, kernels: Kernels
) -> None:
    """Alone also with fewer slots than samples, so that some wait, and find nothing to copy."""
    forward = LeanForward(tiny("llama", {}, dtype), quantization, kernels)
    together = answers(forward, list(range(REQUESTS)), SLOTS)
    for number in range(REQUESTS):
        assert answers(forward, [number], slots)[number] == together[number]


def test_the_modules_keep_rows_apart_as_well() -> None:
    forward = ModuleForward(tiny("gemma2", {"sliding_window": 8, "query_pre_attn_scalar": 8}))
    together = answers(forward, list(range(REQUESTS)), SLOTS)
    for number in range(REQUESTS):
        assert answers(forward, [number], 3)[number] == together[number]


@pytest.mark.parametrize("way", [LeanForward, ModuleForward])
@pytest.mark.parametrize("quantization", ["none", "int8", "int4"])
def test_a_rows_numbers_are_the_same_bit_for_bit(
    way: type[LeanForward | ModuleForward], quantization: Quantization, kernels: Kernels
) -> None:
    """Alone, and beside two others with a slot between that has nothing to say."""
    forward = way(tiny("llama", {}, torch.bfloat16), quantization, kernels)
    forward.allocate(4, 64)
    slots, prompts = [0, 2, 3], [[5, 6, 7], list(range(20, 37)), [50, 40, 30, 20]]
    for slot, prompt in zip(slots, prompts, strict=True):
        forward.read(slot, 0, prompt)
    places, said = [len(prompt) for prompt in prompts], [9, 10, 11]
    together = forward.decode(slots, places, said).clone()
    for row, slot in enumerate(slots):
        alone = forward.decode([slot], [places[row]], [said[row]])
        assert torch.equal(alone[0], together[row])
