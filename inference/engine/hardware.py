"""Where a model runs and in which number format.

Device: CUDA if there is one, else Apple's MPS for models of up to 3 billion parameters (larger
ones exceed what Metal gives one process on most Macs), else the CPU. Format: bfloat16 where the
device computes it natively, else float16 on GPUs and float32 on CPUs. A device that is asked for by
name has to be there.
"""

from __future__ import annotations

import os

import torch

from inference.errors import CannotLoad

MPS_MOST_PARAMETERS = 3_000_000_000


def choose_device(wanted: str, parameters: int) -> str:
    """``cuda``, ``mps`` or ``cpu`` for a model of so many parameters; ``wanted`` if it is not auto.

    ``CannotLoad`` for a device that this machine has not.
    """
    if wanted != "auto":
        return _checked(wanted)
    if torch.cuda.is_available():
        return "cuda"
    if torch.backends.mps.is_available() and parameters <= MPS_MOST_PARAMETERS:
        return "mps"
    return "cpu"


def devices() -> tuple[str, ...]:
    """All devices of this machine, by the names that they can be asked for by."""
    several = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    gpus = ["cuda", *several] if several else []
    return (*gpus, *(["mps"] if torch.backends.mps.is_available() else []), "cpu")


def device_name(device: torch.device) -> str:
    """How ``device`` is called: the first GPU has no number."""
    return f"{device.type}:{device.index}" if device.index else device.type


def dtype_name(dtype: torch.dtype) -> str:
    """How ``dtype`` is called, such as ``bfloat16``."""
    return str(dtype).removeprefix("torch.")


def _checked(wanted: str) -> str:
    here = devices()
    if wanted not in here:
        raise CannotLoad(f"There is no device '{wanted}' on this machine. There is: {', '.join(here)}.")
    return wanted


def choose_dtype(wanted: str, device: str) -> torch.dtype:
    """The format of the weights on ``device``; ``wanted`` if it is not auto."""
    if wanted != "auto":
        dtype: torch.dtype = getattr(torch, wanted)
        return dtype
    if device.startswith("cuda"):
        # torch also counts GPUs before Ampere, which only emulate bfloat16, and slowly.
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else torch.float16
    if device == "mps":
        return torch.bfloat16 if torch.backends.mps.is_macos_or_newer(14, 0) else torch.float16
    return torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32


def read_in_one_thread() -> None:
    """Let transformers read weights in the thread that loads them, unless there is a GPU to fill.

    What its own threads allocate for converting numbers stays with their heaps, and is not given back to
    the system: a model of 110 MB left as much behind.
    """
    if not torch.cuda.is_available():
        os.environ.setdefault("HF_DEACTIVATE_ASYNC_LOAD", "1")
