"""One server for all tests of a file of the API, with its engine as the test wants it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.stage import Stage, open_stage
from tests.fakes import echo


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(tmp_path_factory.mktemp("api")) as stage:
        yield stage


@pytest.fixture
def stage(running: Stage) -> Iterator[Stage]:
    running.engine.script = echo
    running.engine.requests.clear()
    running.engine.closed = 0
    yield running
