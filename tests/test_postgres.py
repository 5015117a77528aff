"""What PostgreSQL does otherwise than SQLite: it holds columns to their lengths, and writes side by side."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Sum

from aliases.models import Alias
from aliases.services import AliasHeld, alias_change, alias_create, alias_delete, alias_save
from conversations.attachments import attachment_store
from conversations.models import Attachment, Conversation, Message
from conversations.services import OpenedTurn, messages_delete, turn_close, turn_open
from inference.asker import Asker
from inference.errors import Busy
from inference.models import ModelRecord
from inference.protocol import Timings, Usage
from inference.store.names import LONGEST_NAME, model_name_check
from inference.store.services import model_take_folder
from inference.usage.models import UsageDay, UsageRecord
from inference.usage.services import usage_write
from tests.inference.store.builders import tiny_llama
from tests.inference.usage.conftest import measured
from tests.postgres import INITDB, aside, at_hand, postgres, wait_for_locks
from tests.shapes import draw, saved

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


def said(user: User, text: str, talk: Conversation | None = None, **more: Any) -> OpenedTurn:
    return turn_open(user=user, conversation=talk.pk if talk else None, text=text, model=MODEL, **more)


def answered(user: User, text: str) -> OpenedTurn:
    turn = said(user, text)
    turn_close(
        message=turn.answer, status=Message.Status.COMPLETE, content="Hi", usage=Usage(), timings=Timings()
    )
    return turn


def test_of_two_tabs_that_send_at_once_one_is_answered(ann: User, model: ModelRecord) -> None:
    talk = answered(ann, "Hello").conversation
    with transaction.atomic():
        said(ann, "One", talk)
        other = aside(lambda: said(ann, "Two", talk))
        wait_for_locks(other)
    with pytest.raises(Busy):
        other.result(30)
    questions = talk.messages.filter(role=Message.Role.USER)
    assert [question.content for question in questions] == ["Hello", "One"]


def test_a_picture_that_two_tabs_send_at_once_is_in_both(ann: User, model: ModelRecord) -> None:
    ModelRecord.objects.update(capabilities=["completion", "vision"])
    picture = attachment_store(user=ann, data=saved(draw("red", "circle", 1)))
    with transaction.atomic():
        one = said(ann, "One", attachments=[picture.pk])
        other = aside(lambda: said(ann, "Two", attachments=[picture.pk]))
        wait_for_locks(other)
    holders = {one.question.pk, other.result(30).question.pk}
    assert set(Attachment.objects.values_list("message", flat=True)) == holders


def test_deleting_messages_takes_what_is_added_meanwhile(ann: User, model: ModelRecord) -> None:
    turn = answered(ann, "Hello")
    with transaction.atomic():
        said(ann, "More", turn.conversation)
        other = aside(lambda: messages_delete(messages=[turn.answer]))
        wait_for_locks(other)
    other.result(30)
    assert list(turn.conversation.messages.all()) == [turn.question]
    assert Conversation.objects.get(pk=turn.conversation.pk).active_leaf == turn.question


def test_an_alias_that_is_just_being_named_stays(model: ModelRecord) -> None:
    alias_save(Alias(name="inner", model=MODEL))
    with transaction.atomic():
        alias_save(Alias(name="outer", model="Inner"))
        other = aside(lambda: alias_delete(name="inner"))
        wait_for_locks(other)
    with pytest.raises(AliasHeld):
        other.result(30)


def test_two_changes_of_an_alias_at_once_are_both_made(model: ModelRecord) -> None:
    alias = Alias(name="changing", model=MODEL)
    alias_save(alias)
    with transaction.atomic():
        alias_change(pk=alias.pk, changes={"description": "new"})
        other = aside(lambda: alias_change(pk=alias.pk, changes={"system": "Be brief."}))
        wait_for_locks(other)
    other.result(30)
    alias.refresh_from_db()
    assert (alias.description, alias.system) == ("new", "Be brief.")


def test_a_model_that_two_servers_take_in_at_once_is_there_once(tmp_path: Path, settings: Any) -> None:
    settings.MODELS_PATH = tmp_path / "models"
    folder = tiny_llama(tmp_path / "llama")
    with transaction.atomic():
        model_take_folder(folder=folder, name="test/twice")
        other = aside(lambda: model_take_folder(folder=folder, name="Test/Twice"))
        wait_for_locks(other)
    assert ModelRecord.objects.get(name__iexact="test/twice") == other.result(30).record


def test_usage_that_two_servers_write_at_once_is_counted_and_neither_stops_the_other() -> None:
    first, second = (
        measured(model=name, created=datetime(2026, 1, 1, tzinfo=UTC)) for name in ("first", "second")
    )
    with transaction.atomic():
        usage_write([first, second])
        # Neither sees the other's day: there are two rows for it, and sums are read.
        aside(lambda: usage_write([first, second])).result(30)
    with transaction.atomic():
        assert list(UsageDay.objects.select_for_update().filter(model="first"))
        one = aside(lambda: usage_write([first, second]))
        wait_for_locks(one)
        other = aside(lambda: usage_write([second, first]))
        wait_for_locks(one, other)
    assert (one.result(30), other.result(30)) == (None, None)
    days = UsageDay.objects.filter(model__in=("first", "second")).order_by("model")
    assert list(days.values_list("model").annotate(n=Sum("requests"))) == [("first", 4), ("second", 4)]
