"""Memory: what is free, what this process holds, and how many requests fit beside each other."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Collection
from pathlib import Path

import psutil
import torch

from inference.engine.video_memory import empty_cache
from inference.errors import OutOfMemory
from inference.machine import ram

# More rows than this bring little on one machine's kind of device, and each costs memory.
MOST_SLOTS = {"cpu": 8, "mps": 8, "cuda": 16}
# So many requests should always run at once, as long as each can be this long (in tokens).
FEWEST_SLOTS = 4
DECENT_CONTEXT = 8192
SHORTEST_CONTEXT = 256
# Of what is free now: other models, activations and other programs need the rest.
SHARE = {"cpu": 0.5, "mps": 0.6, "cuda": 0.85}
# Of glibc's malloc.h; the highest threshold is what it would come to by itself.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
OWN_PAGES, FROM_HEAP = 64 * 2**10, 32 * 2**20


def free_memory(device: str) -> int:
    """Bytes that are free where ``device`` keeps its tensors."""
    if device.startswith("cuda"):
        free: int = torch.cuda.mem_get_info(device)[0]
        return free
    if device == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
    return ram()[1]


def used_memory(device: str, folder: Path) -> int:
    """Bytes that this process holds there, files of the model in ``folder`` included."""
    if device.startswith("cuda"):
        return torch.cuda.memory_allocated(device)
    if device == "mps":
        return torch.mps.current_allocated_memory()
    return _held({str(file.resolve()) for file in folder.rglob("*.safetensors")})


def give_back() -> None:
    """Return to the system what is no longer used: allocators keep it for the next time."""
    gc.collect()
    empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
    trim_heap()


def trim_heap() -> None:
    """Return to the system what the heap does not use. Only glibc can, and only glibc needs it."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


def use_own_pages(*, loading: bool) -> None:
    """While ``loading``, or laying weights out anew, give whatever takes more than a page or so a mapping of
    its own, as glibc can.

    It is given back whole as soon as it is let go, where the heap keeps holes: quantizing a model of 150 MB
    left up to 30 in it. Otherwise as glibc does by itself after a while, since passes want their memory at
    once. Source: mallopt(3).
    """
    if set_option := getattr(ctypes.CDLL(None), "mallopt", None):
        set_option(M_MMAP_THRESHOLD, OWN_PAGES if loading else FROM_HEAP)
        set_option(M_TRIM_THRESHOLD, 2 * FROM_HEAP)


def _held(files: Collection[str]) -> int:
    """Bytes of RAM of this process's own, and of ``files`` that it reads where they lie.

    Not all that is resident: the first model would be charged with the libraries' code that it is the
    first to run. Only Linux tells them apart; source: proc(5), ``/proc/pid/smaps``.
    """
    try:
        lines = Path("/proc/self/smaps").read_text().splitlines()
    except OSError:
        resident: int = psutil.Process().memory_info().rss
        return resident
    kilobytes, counted = 0, "Anonymous"
    for line in lines:
        words = line.split(maxsplit=5)
        if words[0] == f"{counted}:":
            kilobytes += int(words[1])
        elif "-" in words[0]:
            counted = "Rss" if words[5:] and words[5] in files else "Anonymous"
    return kilobytes * 1024


def fit(*, bytes_per_token: int, free: int, device: str, wanted: int, longest: int) -> tuple[int, int]:
    """Slots, and tokens of context in each: ``wanted`` slots, or for 0 as many as are good.

    ``OutOfMemory`` where not even a short text fits.
    """
    kind = device.partition(":")[0]
    tokens = int(free * SHARE[kind]) // max(bytes_per_token, 1)
    decent = min(longest, DECENT_CONTEXT)
    slots = wanted or max(1, min(FEWEST_SLOTS, tokens // decent), min(MOST_SLOTS[kind], tokens // longest))
    context = min(longest, tokens // slots)
    if context < min(longest, SHORTEST_CONTEXT):
        raise OutOfMemory(
            f"The model fits, but beside it there is room for {tokens} tokens of text only. "
            "Free memory, or choose a smaller model."
        )
    return slots, context
