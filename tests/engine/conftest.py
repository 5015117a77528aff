"""What tests of the engine share: an engine without its socket, and the compiled kernels."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inference.engine.config import EngineConfig
from inference.engine.core import Engine
from inference.engine.kernels.build import kernels_build
from inference.engine.kernels.library import Kernels
from tests.engine.engines import engine_of
from tests.kernels import COMPILER, engine_cache


@pytest.fixture(scope="session")
def kernels() -> Kernels:
    if COMPILER is None:
        pytest.skip("there is no C compiler on this machine")
    library = kernels_build(engine_cache() / "kernels")
    assert isinstance(library, Path)
    return Kernels(library)


@pytest.fixture
def config(models_root: Path) -> EngineConfig:
    return EngineConfig(
        address="", model_roots=(str(models_root),), cache="", precision="float32", device="cpu"
    )


@pytest.fixture
async def engine(config: EngineConfig) -> AsyncIterator[Engine]:
    engine = engine_of(config)
    yield engine
    await engine.close()
