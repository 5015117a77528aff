"""What goes wrong in a pass, in our words."""

from __future__ import annotations

import weakref

import pytest
import torch

from inference.engine.failures import in_our_words
from inference.errors import InferenceError, OutOfMemory


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"), OutOfMemory),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
            OutOfMemory,
        ),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), OutOfMemory),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), InferenceError),
    ],
)
def test_memory_that_runs_out_is_told_from_what_else_goes_wrong(
    error: RuntimeError, ours: type[InferenceError]
) -> None:
    with pytest.raises(InferenceError) as caught, in_our_words():
        raise error
    assert type(caught.value) is ours


class Large:
    """What a pass works with."""


def test_a_failed_pass_holds_no_memory() -> None:
    """Also while its error is being handled: what is tried then needs the room."""
    held: list[weakref.ref[Large]] = []

    def attend() -> None:
        scores = Large()
        held.append(weakref.ref(scores))
        raise torch.OutOfMemoryError("CUDA out of memory.")

    try:
        with in_our_words():
            attend()
    except OutOfMemory:
        assert held[0]() is None
