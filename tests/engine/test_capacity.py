from __future__ import annotations

import pytest

from inference.engine.capacity import fit, free_memory
from inference.errors import OutOfMemory


def fitted(tokens: int, *, wanted: int = 0, longest: int = 8192, device: str = "cpu") -> tuple[int, int]:
    """For a memory of so many tokens."""
    share = {"cpu": 0.5, "cuda": 0.85}[device]
    free = int(tokens * 1000 / share) + 1000
    return fit(bytes_per_token=1000, free=free, device=device, wanted=wanted, longest=longest)


@pytest.mark.parametrize(
    ("tokens", "longest", "slots", "context"),
    [
        (10**9, 8192, 8, 8192),
        (6 * 8192, 8192, 6, 8192),
        (4 * 8192, 8192, 4, 8192),
        (4 * 8192, 131_072, 4, 8192),
        (65_536, 131_072, 4, 16_384),
        (2 * 8192, 131_072, 2, 8192),
        (3000, 131_072, 1, 3001),
        (10**9, 64, 8, 64),
    ],
)
def test_as_many_slots_as_are_good(tokens: int, longest: int, slots: int, context: int) -> None:
    assert fitted(tokens, longest=longest) == (slots, pytest.approx(context, abs=1))


def test_a_gpu_takes_more() -> None:
    assert fitted(10**9, device="cuda") == (16, 8192)


def test_wanted_slots_are_made_and_share_what_there_is() -> None:
    assert fitted(16_384, wanted=16) == (16, 1024)


def test_no_room_is_said() -> None:
    with pytest.raises(OutOfMemory, match="room for"):
        fitted(100)


def test_this_machine_has_memory() -> None:
    assert free_memory("cpu") > 2**20
