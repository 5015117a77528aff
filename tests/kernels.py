"""The compiled kernels of the tests' engines: made once, and kept for the next run."""

from __future__ import annotations

import functools
import os
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from inference.engine.kernels import build
from inference.engine.kernels.making import KernelsInTheMaking

if TYPE_CHECKING:
    from inference.engine.kernels.library import Kernels

COMPILER = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler on this machine")
CACHE = Path(__file__).resolve().parent.parent / ".cache" / "engine"


@functools.cache
def engine_cache() -> Path:
    """A folder for what engines keep, with the kernels in it."""
    with pytest.MonkeyPatch.context() as patch:
        compile_at_once(patch)
        build.kernels_build(CACHE / "kernels")
    return CACHE


def compile_at_once(patch: pytest.MonkeyPatch) -> None:
    """Tests keep every processor busy: a compiler that gives way to them takes a minute and more."""
    patch.setattr(build, "POLITELY", ("nice", "-n", "0"))


def waited(making: KernelsInTheMaking) -> Kernels | None:
    """The kernels in the ``making``, when they are made or cannot be."""
    over = threading.Event()
    making.tell(over.set)
    assert over.wait(2 * build.COMPILE_SECONDS)
    return making.made


class SlowCompiler:
    """A compiler that begins when it is told to."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, command: str = str(COMPILER)) -> None:
        self._gate, self._over = folder / "gate", folder / "over"
        compiler = folder / "cc"
        compiler.write_text(
            f"#!/bin/sh\nwhile [ ! -e {self._gate} ]; do [ -e {self._over} ] && exit 1; sleep 0.02; done\n"
            f'exec {command} "$@"\n'
        )
        compiler.chmod(0o700)
        monkeypatch.setenv("CC", str(compiler))

    def begin(self) -> None:
        self._gate.touch()

    def end(self) -> None:
        """Wait for nobody any more: it would go on when the tests are over."""
        self._over.touch()
