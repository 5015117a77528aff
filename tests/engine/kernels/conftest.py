from __future__ import annotations

import pytest

from tests.kernels import compile_at_once


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    compile_at_once(monkeypatch)
