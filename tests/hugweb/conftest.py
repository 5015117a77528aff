"""What the tests of the web process share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes import FakeEngine
from tests.hugweb.terminals import Terminal
from tests.serving import Server, engine_thread, fill_home


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A server with a fake engine, that no test stops."""
    folder = tmp_path_factory.mktemp("serve")
    with engine_thread(folder / "engine.sock") as engine, Server(folder / "home", engine=engine) as server:
        yield server


@pytest.fixture
def home(tmp_path: Path) -> Path:
    fill_home(tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[FakeEngine]:
    with engine_thread(tmp_path / "e.sock") as engine:
        yield engine


@pytest.fixture
def terminal(home: Path, engine: FakeEngine) -> Iterator[Terminal]:
    terminal = Terminal(home, engine)
    yield terminal
    terminal.close()
