"""The provider of our own engine: what it notes on the way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inference.models import ModelRecord
from inference.protocol import Done, Event, Load, Loaded, ModelRef, Request
from inference.providers.huggingface import HuggingFaceProvider
from tests.fakes import FakeEngine


async def loads(request: Request) -> AsyncIterator[Event]:
    yield Loaded(memory=325_000_000)
    yield Done(reason="load")


@pytest.mark.django_db(transaction=True)
async def test_what_a_load_took_is_noted_with_its_model(settings, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    settings.ENGINE_ADDRESS = f"unix:{tmp_path}/e.sock"
    settings.MODELS_PATH = tmp_path
    rows = [
        await ModelRecord.objects.acreate(name=name, source="store", folder=name, digest="0")
        for name in ("org/one", "org/two")
    ]
    request = Load(model=ModelRef(name="alias", path=str(rows[0].path)))
    async with FakeEngine(tmp_path / "e.sock", loads):
        events = [event async for event in HuggingFaceProvider().stream(request)]
    assert events == [Loaded(memory=325_000_000), Done(reason="load")]
    assert [row.memory async for row in ModelRecord.objects.order_by("name")] == [325_000_000, None]
