from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from inference.engine.hardware import choose_device, choose_dtype
from inference.machine import machine_read, ram

STATISTICS = "anon 500\ninactive_file 30\nactive_file 20\n"


def limited(folder: Path, limit: str) -> tuple[int, int]:
    (folder / "memory.max").write_text(limit)
    (folder / "memory.current").write_text("600")
    (folder / "memory.stat").write_text(STATISTICS)
    return ram(folder)


def test_a_container_s_limit_counts(tmp_path: Path) -> None:
    assert limited(tmp_path, "1000") == (1000, 450)


def test_a_container_that_is_full_has_nothing_free(tmp_path: Path) -> None:
    assert limited(tmp_path, "500") == (500, 0)


@pytest.mark.parametrize("limit", ["max", ""])
def test_without_a_limit_the_machine_s_memory_counts(tmp_path: Path, limit: str) -> None:
    assert limited(tmp_path, limit)[0] == psutil.virtual_memory().total


def test_the_web_sees_the_machine_as_the_engine_does() -> None:
    machine = machine_read()
    device = choose_device("auto", 0)
    assert (machine.device, machine.number_size) == (device, choose_dtype("auto", device).itemsize)
    assert 0 < machine.free <= machine.total


def test_settings_count() -> None:
    assert machine_read("cpu", "float32").number_size == 4
    assert machine_read("cpu", "float16").device == "cpu"


@pytest.mark.parametrize(("generation", "dtype"), [(7, torch.float16), (8, torch.bfloat16)])
def test_a_gpu_that_only_emulates_bfloat16_computes_in_float16(
    monkeypatch: pytest.MonkeyPatch, generation: int, dtype: torch.dtype
) -> None:
    """What torch tells of GPUs before and from Ampere on."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(major=generation))
    monkeypatch.setattr(torch.cuda, "_check_bf16_tensor_supported", lambda _: True)
    assert choose_dtype("auto", "cuda") is dtype
