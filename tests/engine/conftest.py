from __future__ import annotations

from pathlib import Path

import pytest

from inference.engine.kernels.build import kernels_build
from inference.engine.kernels.library import Kernels


@pytest.fixture(scope="session")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Kernels:
    library = kernels_build(tmp_path_factory.mktemp("kernels"))
    assert isinstance(library, Path), "a C compiler is needed for these tests"
    return Kernels(library)
