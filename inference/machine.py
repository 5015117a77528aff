"""The memory of this machine: of its NVIDIA GPU if it has one, else its RAM.

Asked without torch, so that the web can tell what fits while no engine runs. Inside a container its
limit counts, not the machine's. Knows nothing of models.
"""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil
import pynvml

CGROUP = Path("/sys/fs/cgroup")
PRECISIONS = {"bfloat16": 2, "float16": 2, "float32": 4}
# What torch asks of a processor before it multiplies in bfloat16.
BFLOAT16_FLAGS = frozenset({"avx512bw", "avx512vl", "avx512dq"})


@dataclass(frozen=True)
class Machine:
    """Where models run, bytes of a number there, and bytes of memory. ``exact``: no format is prescribed."""

    device: str
    number_size: int
    total: int
    free: int
    exact: bool = True


def machine_read(device: str = "auto", precision: str = "auto") -> Machine:
    """The machine as the settings ``device`` and ``precision`` have it used."""
    video = _video_memory() if device in {"auto", "cuda"} else None
    if video:
        return Machine("cuda", PRECISIONS.get(precision, 2), *video, exact=precision == "auto")
    place = "mps" if device == "mps" or (device == "auto" and _is_apple_silicon()) else "cpu"
    size = PRECISIONS.get(precision) or (2 if place == "mps" or _computes_bfloat16() else 4)
    return Machine(place, size, *ram(), exact=precision == "auto")


def ram(cgroup: Path = CGROUP) -> tuple[int, int]:
    """Bytes of RAM in total, and free for programs. Files that are only cached count as free."""
    memory = psutil.virtual_memory()
    try:
        limit = int((cgroup / "memory.max").read_text())
        used = int((cgroup / "memory.current").read_text())
        statistics = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        cached = int(statistics["inactive_file"]) + int(statistics["active_file"])
    except (OSError, ValueError, KeyError):
        return memory.total, memory.available
    return min(memory.total, limit), max(0, min(memory.available, limit - used + cached))


def _video_memory() -> tuple[int, int] | None:
    """Bytes in total and free of the GPU that CUDA takes first; ``None`` if there is none."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        memory = pynvml.nvmlDeviceGetMemoryInfo(_first_visible(os.environ.get("CUDA_VISIBLE_DEVICES", "0")))
    except (pynvml.NVMLError, ValueError):
        return None
    finally:
        pynvml.nvmlShutdown()
    return int(memory.total), int(memory.free)


def _first_visible(visible: str) -> object:
    """The handle of the first GPU in CUDA_VISIBLE_DEVICES, which holds indices or names."""
    first = visible.split(",")[0].strip()
    if first.startswith(("GPU-", "MIG-")):
        return pynvml.nvmlDeviceGetHandleByUUID(first)
    return pynvml.nvmlDeviceGetHandleByIndex(int(first))


def _is_apple_silicon() -> bool:
    return sys.platform == "darwin" and platform.machine() == "arm64"


def _computes_bfloat16() -> bool:
    """As torch sees it on Linux; elsewhere a processor counts as one that does not."""
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.startswith(("flags", "Features"))), "")
    return "bf16" in flags.split() or set(flags.split()) >= BFLOAT16_FLAGS
