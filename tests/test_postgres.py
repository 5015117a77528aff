"""What PostgreSQL does otherwise than SQLite: it holds columns to their lengths, and writes side by side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from aliases.models import Alias
from aliases.services import alias_create, alias_save
from conversations.models import Conversation
from conversations.services import turn_open
from inference.asker import Asker
from inference.models import ModelRecord
from inference.store.names import LONGEST_NAME, model_name_check
from inference.usage.models import UsageDay, UsageRecord
from inference.usage.services import usage_write
from tests.inference.usage.conftest import measured
from tests.postgres import INITDB, at_hand, postgres

pytestmark = pytest.mark.skipif(INITDB is None, reason="PostgreSQL is not installed")
MODEL = "/".join(("o" * 80, "m" * 80)) + ":" + "t" * 80


@pytest.fixture(scope="module")
def server() -> Iterator[Path]:
    with postgres() as folder:
        yield folder


@pytest.fixture(scope="module", autouse=True)
def _database(server: Path, django_db_blocker: Any) -> Iterator[None]:
    with django_db_blocker.unblock(), at_hand(server):
        yield


@pytest.fixture(scope="module")
def ann(_database: None) -> User:
    return User.objects.create_user("ann")


@pytest.fixture(scope="module")
def model(_database: None) -> ModelRecord:
    return ModelRecord.objects.create(
        name=MODEL, source="store", folder="test/model", architecture="llama", capabilities=["completion"]
    )


def test_the_longest_names_are_kept_wherever_one_is(ann: User, model: ModelRecord) -> None:
    model_name_check(MODEL)
    assert len(MODEL) == LONGEST_NAME
    alias = alias_create(name=MODEL.replace("m", "a"), source=MODEL)
    alias_save(Alias(name="short", model=alias.name))
    for name, answers in ((MODEL, MODEL), (alias.name, MODEL), ("short", MODEL)):
        turn = turn_open(user=ann, conversation=None, text="Hello", model=name)
        talk = Conversation.objects.get(pk=turn.conversation.pk)
        assert (talk.model, turn.answer.model) == (name, answers)
    usage_write([measured(Asker(source="page"), model=MODEL, alias=alias.name)])
    for table in (UsageRecord, UsageDay):
        assert table.objects.filter(model=MODEL, alias=alias.name).count() == 1
