"""What all tests share: a tiny model, a fake engine, a running server.

Their home is set by ``tests.settings``.
"""

from __future__ import annotations

import gc
import signal
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import httpx2
import hypothesis
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.fakes import FakeEngine
    from tests.inference.store.stub_hub import Repo, StubHub

# The machine may be busy: how long an example takes says nothing about whether it is right. What is drawn
# is the same each time, so that a change is judged by what it changes; `search` looks for more.
steady = hypothesis.settings(
    deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile("steady", steady)
hypothesis.settings.register_profile("search", steady, derandomize=False, max_examples=2000)
hypothesis.settings.load_profile("steady")

# Seconds: what clients wait for where a test does not say, which is 5. A machine may stall for longer.
for clients in (httpx, httpx2):
    clients._config.DEFAULT_TIMEOUT_CONFIG.read = 60.0  # type: ignore[attr-defined]

# A shell ignores Ctrl-C for what it starts in the background, and what tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# What Schemathesis draws depends on which of our modules are imported: these tests come before all that
# import more. They take long, too.
FIRST = frozenset({"test_schema.py", "test_graphql_schema.py"})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in FIRST)


def pytest_collection_finish() -> None:
    """Set aside what imports left, as the engine does: each load and each end of a model collects garbage,
    which takes half a second where that looks through torch and all tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def one_day() -> None:
    """For tests that speak of today: none goes on over midnight, UTC."""
    now = datetime.now(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    if (left := (midnight - now).total_seconds()) < 20:
        time.sleep(left)


@pytest.fixture(scope="session")
def models_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder under which the tests' models lie."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def tiny_llama(models_root: Path) -> Path:
    """A tiny Llama that can be chatted with; what it says is noise, but always the same."""
    from tests.tiny import make_tiny_llama

    return make_tiny_llama(models_root / "tiny" / "llama")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for the tests of one file: beside a running one no other test could have an event loop."""
    from tests.chromium import chromium

    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def hub() -> Iterator[StubHub]:
    """A Hub of a file's own, without any model yet."""
    from tests.inference.store.stub_hub import StubHub

    with StubHub() as running:
        yield running


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Repo:
    """A tiny model as the Hub has it, with weights of a megabyte."""
    from tests.inference.store.builders import tiny_llama
    from tests.inference.store.stub_hub import grown, repo_of

    return grown(repo_of(tiny_llama(tmp_path_factory.mktemp("models") / "llama")), 2**20)


@pytest.fixture
async def engine(tmp_path: Path, settings: Any) -> AsyncIterator[FakeEngine]:
    """A fake engine beside this process's own web application, whose turns end with the test."""
    from conversations.turns import TURNS
    from inference.providers.registry import get_provider
    from tests.fakes import FakeEngine

    settings.ENGINE_ADDRESS = f"unix:{tmp_path}/engine.sock"
    get_provider.cache_clear()
    async with FakeEngine(tmp_path / "engine.sock") as running:
        yield running
        await TURNS.close()
    TURNS.draining = False
    get_provider.cache_clear()
