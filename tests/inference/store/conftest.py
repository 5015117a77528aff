"""A tiny model, made once, and a store of each test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.inference.store.builders import tiny_llama


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder. Shared: copy it before changing it."""
    return tiny_llama(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture
def store(tmp_path: Path, settings) -> Path:
    """An empty store."""
    settings.MODELS_PATH = tmp_path / "models"
    return settings.MODELS_PATH
