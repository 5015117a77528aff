"""The compiled kernels of the tests' engines: made once, and kept for the next run."""

from __future__ import annotations

import functools
import os
import shutil
from pathlib import Path

import pytest

from inference.engine.kernels import build

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
