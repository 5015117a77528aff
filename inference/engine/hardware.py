"""Where a model runs and in which number format.

Device: CUDA if there is one, else Apple's MPS for models of up to 3 billion parameters (larger
ones exceed what Metal gives one process on most Macs), else the CPU. Format: bfloat16 where the
device computes it natively, else float16 on GPUs and float32 on CPUs.
"""

from __future__ import annotations

import torch

MPS_MOST_PARAMETERS = 3_000_000_000


def choose_device(wanted: str, parameters: int) -> str:
    """``cuda``, ``mps`` or ``cpu`` for a model of so many parameters; ``wanted`` if it is not auto."""
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "cuda"
    if torch.backends.mps.is_available() and parameters <= MPS_MOST_PARAMETERS:
        return "mps"
    return "cpu"


def choose_dtype(wanted: str, device: str) -> torch.dtype:
    """The format of the weights on ``device``; ``wanted`` if it is not auto."""
    if wanted != "auto":
        dtype: torch.dtype = getattr(torch, wanted)
        return dtype
    if device == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if device == "mps":
        return torch.bfloat16 if torch.backends.mps.is_macos_or_newer(14, 0) else torch.float16
    return torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32
