from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.test import override_settings

from inference.footprint.anatomy import Anatomy, anatomy_of
from inference.machine import Machine
from inference.models import ModelRecord
from inference.protocol import ModelRef
from inference.store.estimate import fit_judge, record_fit
from inference.store.memory import memory_note
from tests.inference.footprint.llama import LLAMA_7B, PARAMETERS_7B

GB = 10**9


def seven_billion(**changes: object) -> Anatomy:
    return anatomy_of({**LLAMA_7B, **changes}, {"F16": PARAMETERS_7B})


def machine(free: float, device: str = "cpu") -> Machine:
    return Machine(device, 2, 64 * GB, int(free * GB))


@pytest.mark.parametrize(
    ("free", "quantization", "words"),
    [
        (32, "none", "fits: needs 14.6 GB"),
        (14, "int8", "fits in 8 bits: needs 9.3 GB"),
        (8, "int4", "fits in 4 bits: needs 6.0 GB"),
        (4, None, "does not fit: needs 6.0 GB, 4.0 GB are free"),
    ],
)
def test_the_best_way_that_fits(free: float, quantization: str | None, words: str) -> None:
    fit = fit_judge(seven_billion(), machine(free))
    assert (fit.quantization, str(fit)) == (quantization, words)
    assert fit.fits is (quantization is not None)


def test_what_can_be_let_go_counts_as_free() -> None:
    assert fit_judge(seven_billion(), machine(10), freeable=6 * GB).quantization == "none"


@pytest.mark.parametrize(("free", "quantization"), [(15, "none"), (10, "int8"), (6, "int4"), (5, None)])
def test_a_gpu_quantizes_as_well(free: float, quantization: str | None) -> None:
    assert fit_judge(seven_billion(), machine(free, "cuda")).quantization == quantization


def test_apple_s_gpus_do_not() -> None:
    assert fit_judge(seven_billion(), machine(10, "mps")).quantization is None


def test_what_was_measured_counts_for_more() -> None:
    assert fit_judge(seven_billion(), machine(15), measured=20 * GB).quantization == "int8"


@pytest.fixture
def record(tmp_path: Path, db: None) -> ModelRecord:
    (tmp_path / "org" / "seven").mkdir(parents=True)
    (tmp_path / "org" / "seven" / "config.json").write_text(json.dumps(LLAMA_7B))
    with override_settings(MODELS_PATH=tmp_path):
        yield ModelRecord.objects.create(
            name="org/seven",
            source="store",
            folder="org/seven",
            architecture="llama",
            parameters=PARAMETERS_7B,
            dtype="F16",
            digest="0" * 64,
        )


def test_a_row_is_judged_by_its_configuration(record: ModelRecord) -> None:
    assert record_fit(record, machine(32)) == fit_judge(seven_billion(), machine(32))


def test_a_row_whose_files_are_gone_is_judged_by_its_numbers(record: ModelRecord) -> None:
    (record.path / "config.json").unlink()
    assert record_fit(record, machine(32)).needed == pytest.approx(2 * PARAMETERS_7B, rel=0.01)


def test_a_measurement_is_noted_and_used(record: ModelRecord) -> None:
    memory_note(model=ModelRef(name="alias", path=str(record.path)), memory=20 * GB)
    record.refresh_from_db()
    assert record.memory == 20 * GB
    assert record_fit(record, machine(15)).quantization == "int8"
    memory_note(model=ModelRef(name="alias", path=str(record.path), quantization="int8"), memory=GB)
    memory_note(model=ModelRef(name="alias", path="/somewhere/else"), memory=GB)
    record.refresh_from_db()
    assert record.memory == 20 * GB
