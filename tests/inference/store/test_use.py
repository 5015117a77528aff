from __future__ import annotations

from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from inference.models import ModelRecord
from inference.protocol import ModelRef
from inference.store import use
from inference.store.use import use_due, use_note

pytestmark = pytest.mark.django_db


def test_the_use_of_a_model_is_noted_now_and_then(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(use, "_noted", {})
    mine = ModelRecord.objects.create(name="a/b", source="store", folder="a/b", digest="0")
    hubs = ModelRecord.objects.create(name="a/c", source="hub", folder="/hub/a/c", digest="0")
    other = ModelRecord.objects.create(name="a/d", source="store", folder="a/d", digest="0")
    before = mine.modified
    for model in (ModelRef(name="alias", path=str(store / "a" / "b")), ModelRef(name="a/c", path="/hub/a/c")):
        assert use_due(model)
        use_note(model=model)
        with CaptureQueriesContext(connection) as asked:
            assert not use_due(model)
        assert not asked.captured_queries
    for record in (mine, hubs, other):
        record.refresh_from_db()
    assert mine.last_used
    assert hubs.last_used
    assert other.last_used is None
    assert mine.modified == before, "using it does not change it"
