"""How many requests of which length fit into memory beside each other."""

from __future__ import annotations

import psutil
import torch

from inference.errors import OutOfMemory

# More rows than this bring little on one machine's kind of device, and each costs memory.
MOST_SLOTS = {"cpu": 8, "mps": 8, "cuda": 16}
# So many requests should always run at once, as long as each can be this long (in tokens).
FEWEST_SLOTS = 4
DECENT_CONTEXT = 8192
SHORTEST_CONTEXT = 256
# Of what is free now: other models, activations and other programs need the rest.
SHARE = {"cpu": 0.5, "mps": 0.6, "cuda": 0.85}


def free_memory(device: str) -> int:
    """Bytes that are free where ``device`` keeps its tensors."""
    if device == "cuda":
        free: int = torch.cuda.mem_get_info()[0]
        return free
    if device == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
    return psutil.virtual_memory().available


def fit(*, bytes_per_token: int, free: int, device: str, wanted: int, longest: int) -> tuple[int, int]:
    """Slots, and tokens of context in each: ``wanted`` slots, or for 0 as many as are good.

    ``OutOfMemory`` where not even a short text fits.
    """
    tokens = int(free * SHARE[device]) // max(bytes_per_token, 1)
    decent = min(longest, DECENT_CONTEXT)
    slots = wanted or max(1, min(FEWEST_SLOTS, tokens // decent), min(MOST_SLOTS[device], tokens // longest))
    context = min(longest, tokens // slots)
    if context < min(longest, SHORTEST_CONTEXT):
        raise OutOfMemory(
            f"The model fits, but beside it there is room for {tokens} tokens of text only. "
            "Free memory, or choose a smaller model."
        )
    return slots, context
