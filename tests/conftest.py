"""What all tests share: a home of their own, a tiny model, a fake engine, a running server.

The home is set before Django reads its settings, so no test can touch the real one.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import hypothesis
import pytest

HOME = tempfile.mkdtemp(prefix="hugweb-test-")
for name in [name for name in os.environ if name.startswith(("HUGWEB_", "OLLAMA_", "HUGGINGFACE_"))]:
    del os.environ[name]
os.environ.update(
    HUGWEB_HOME=HOME,
    HF_HOME=f"{HOME}/hf",
    HF_HUB_OFFLINE="1",
    OMP_NUM_THREADS="1",
)

# The machine may be busy: how long an example takes says nothing about whether it is right.
hypothesis.settings.register_profile(
    "steady", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("steady")


@pytest.fixture(scope="session")
def models_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder under which the tests' models lie."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def tiny_llama(models_root: Path) -> Path:
    """A tiny Llama that can be chatted with; what it says is noise, but always the same."""
    from tests.tiny import make_tiny_llama

    return make_tiny_llama(models_root / "tiny" / "llama")
