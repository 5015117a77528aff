from __future__ import annotations

import threading

import pytest
import torch

from inference.engine.video_memory import CAPTURING, empty_cache


def test_no_memory_is_freed_while_a_graph_is_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    """By another model's thread it waits; in the capturing thread itself it does not happen."""
    emptied, capturing = threading.Event(), False
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: capturing)
    monkeypatch.setattr(torch.cuda, "empty_cache", emptied.set)
    other = threading.Thread(target=empty_cache)
    with CAPTURING:
        capturing = True
        other.start()
        empty_cache()
        assert not emptied.is_set()
        capturing = False
    other.join(30)
    assert emptied.is_set()
