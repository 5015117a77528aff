"""Kept responses are their owner's: others find nothing."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import AsyncClient

from inference.asker import Asker, asking
from inference.models import ModelRecord
from tests.fakes import FakeEngine

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("stream", [False, True])
async def test_nobody_reads_deletes_or_goes_on_from_the_response_of_another(
    engine: FakeEngine, stream: bool
) -> None:
    ann, bob = [await User.objects.acreate(username=name) for name in ("ann", "bob")]
    await ModelRecord.objects.acreate(
        name="o/m", source="hub", folder="m", architecture="x", digest="0", capabilities=["completion"]
    )
    client = AsyncClient()

    async def ask(**more: Any) -> Any:
        body = {"model": "o/m", "input": "hello", **more}
        return await client.post("/v1/responses", body, content_type="application/json")

    with asking(Asker("openai", ann.pk)):
        answer = await ask(stream=stream)
        text = b"".join([part async for part in answer.streaming_content]) if stream else answer.content
        id = text.decode().partition('"id":"resp_')[2].partition('"')[0]
        address = f"/v1/responses/resp_{id}"
        stored = await client.get(address)
        assert stored.status_code == 200
        named = [{"type": "item_reference", "id": stored.json()["output"][0]["id"]}]
        assert (await ask(input=named)).status_code == 200
    for other in (Asker("openai", bob.pk), Asker("openai")):
        with asking(other):
            assert (await client.get(address)).status_code == 404
            assert (await client.delete(address)).status_code == 404
            assert (await ask(previous_response_id=f"resp_{id}")).status_code in {400, 404}
            assert (await ask(input=named)).status_code == 404
    with asking(Asker("openai", ann.pk)):
        assert (await client.delete(address)).status_code == 200
