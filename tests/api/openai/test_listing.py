"""Models and aliases are listed for those who may ask for them."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import AsyncClient
from django.utils import timezone

from aliases.models import Alias
from inference.asker import Asker, asking
from inference.models import ModelRecord

pytestmark = pytest.mark.django_db(transaction=True)


async def test_an_alias_for_some_is_listed_for_them_alone() -> None:
    ann, bob = [await User.objects.acreate(username=name) for name in ("ann", "bob")]
    await ModelRecord.objects.acreate(name="o/m", source="hub", folder="m", architecture="x", digest="0")
    await Alias.objects.acreate(name="everyones", model="o/m")
    await Alias.objects.acreate(name="twice", model="everyones")
    await Alias.objects.acreate(name="off", model="o/m", enabled=False)
    anns = await Alias.objects.acreate(name="anns", model="o/m", visibility=Alias.Visibility.SOME)
    await anns.users.aadd(ann)
    open_to_all = {"o/m", "everyones", "twice"}
    for user, names in ((ann, open_to_all | {"anns"}), (bob, open_to_all)):
        with asking(Asker("openai", user.pk)):
            answer = await AsyncClient().get("/v1/models")
            assert {model["id"] for model in json.loads(answer.content)["data"]} == names
            one = await AsyncClient().get("/v1/models/anns")
            assert one.status_code == (200 if "anns" in names else 404)


async def test_a_model_is_told_alone_as_in_the_list() -> None:
    await ModelRecord.objects.acreate(name="o/m", source="hub", folder="m", architecture="x", digest="0")
    await Alias.objects.acreate(name="later", model="o/m")
    # A day after its model, which the list tells in whole seconds.
    await Alias.objects.filter(name="later").aupdate(modified=timezone.now() + timedelta(days=1))
    listed = json.loads((await AsyncClient().get("/v1/models")).content)["data"]
    assert [one["id"] for one in listed] == ["later", "o/m"]
    for one in listed:
        alone = await AsyncClient().get(f"/v1/models/{one['id']}")
        assert json.loads(alone.content) == one
