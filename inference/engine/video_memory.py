"""Memory of GPUs that CUDA's allocator keeps for the next time."""

from __future__ import annotations

import threading

import torch

# Held while a graph is captured: freeing memory meanwhile, in any thread, fails and breaks the capture.
CAPTURING = threading.RLock()


def empty_cache() -> None:
    """Return what is no longer used, once no graph is being captured; nothing without CUDA."""
    with CAPTURING:
        if torch.cuda.is_available() and not torch.cuda.is_current_stream_capturing():
            torch.cuda.empty_cache()
