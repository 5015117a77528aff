from __future__ import annotations

from pathlib import Path

import pytest

from inference.engine.kernels.build import kernels_build
from inference.engine.kernels.library import Kernels
from inference.engine.kernels.making import KernelsInTheMaking
from tests.kernels import COMPILER, needs_compiler, waited


@needs_compiler
def test_a_library_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = kernels_build(tmp_path)
    assert library is not None
    assert [library] == list(tmp_path.iterdir()), "nothing else is left behind"
    made = library.stat().st_mtime_ns
    assert kernels_build(tmp_path) == library
    assert library.stat().st_mtime_ns == made


def test_without_a_compiler_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert kernels_build(tmp_path / "kernels") is None


def test_a_compiler_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = tmp_path / "broken"
    compiler.write_text("#!/bin/sh\necho 'out of order' >&2\nexit 1\n")
    compiler.chmod(0o700)
    monkeypatch.setenv("CC", str(compiler))
    assert kernels_build(tmp_path / "kernels") is None
    assert list((tmp_path / "kernels").iterdir()) == []


@needs_compiler
def test_a_compiler_without_threads_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS: the first attempt fails, the second does not."""
    compiler = tmp_path / "cc"
    compiler.write_text(f'#!/bin/sh\ncase " $* " in *" -fopenmp "*) exit 1;; esac\nexec {COMPILER} "$@"\n')
    compiler.chmod(0o700)
    monkeypatch.setenv("CC", str(compiler))
    library = kernels_build(tmp_path / "kernels")
    assert library is not None
    Kernels(library)


@needs_compiler
def test_whoever_asks_gets_them_when_they_are_made(tmp_path: Path) -> None:
    making = KernelsInTheMaking()
    assert making.made is None, "nobody asked for them yet"
    making.start(tmp_path)
    assert isinstance(waited(making), Kernels)
