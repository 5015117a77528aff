"""What is written: a turn opens and closes whole, one at a time, and only its owner's."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError
from django.utils import timezone

from conversations import services
from conversations.models import Conversation, Message
from conversations.services import OpenedTurn
from inference.errors import Busy, InvalidRequest, ModelNotFound, NotFound
from inference.models import ModelRecord
from inference.protocol import Timings, Usage

pytestmark = pytest.mark.django_db

Status = Message.Status


def opened(user: User, text: str = "Hello", **more: object) -> OpenedTurn:
    return services.turn_open(user=user, conversation=None, text=text, model="tester", **more)


def closed(turn: OpenedTurn, content: str = "Hi", status: Status = Status.COMPLETE, error: str = "") -> None:
    services.turn_close(
        message=turn.answer,
        status=status,
        content=content,
        usage=Usage(prompt=3, completion=5),
        timings=Timings(total=4, load=1, prompt=1, completion=2),
        finish_reason="stop",
        error=error,
    )


def following(turn: OpenedTurn, text: str) -> OpenedTurn:
    return services.turn_open(
        user=turn.conversation.user, conversation=turn.conversation.pk, text=text, model="tester"
    )


def test_a_turn_opens_with_a_question_and_an_empty_answer(ann: User, model: ModelRecord) -> None:
    turn = opened(ann, "Hello\nthere")
    talk = Conversation.objects.get()
    assert (talk.title, talk.model, talk.user, talk.active_leaf_id) == (
        "Hello",
        "tester",
        ann,
        turn.answer.pk,
    )
    assert (turn.question.content, turn.question.status) == ("Hello\nthere", Status.COMPLETE)
    assert (turn.answer.content, turn.answer.status) == ("", Status.STREAMING)
    assert (turn.answer.model, turn.answer.model_provider) == (model.name, "huggingface")
    assert turn.answer.parent_id == turn.question.pk


def test_the_model_is_asked_with_the_alias_s_system_prompt_and_options(ann: User, model: ModelRecord) -> None:
    request = opened(ann).request
    assert [(said.role, said.content) for said in request.messages] == [
        ("system", "Be brief."),
        ("user", "Hello"),
    ]
    assert request.options.temperature == 0


def test_a_second_turn_is_refused_while_one_runs(ann: User, model: ModelRecord) -> None:
    turn = opened(ann)
    with pytest.raises(Busy):
        following(turn, "And?")
    assert Message.objects.count() == 2
    closed(turn)
    following(turn, "And?")


@pytest.mark.django_db(transaction=True)
def test_the_database_itself_allows_one_turn_at_a_time(ann: User, model: ModelRecord) -> None:
    turn = opened(ann)
    with pytest.raises(IntegrityError):
        Message.objects.create(conversation=turn.conversation, role="assistant", status=Status.STREAMING)


def test_a_turn_in_somebody_else_s_conversation_is_not_found(
    ann: User, bob: User, model: ModelRecord
) -> None:
    turn = opened(ann)
    closed(turn)
    with pytest.raises(NotFound):
        services.turn_open(user=bob, conversation=turn.conversation.pk, text="Hello", model="tester")


@pytest.mark.parametrize("text", ["", " \n ", "\x00"])
def test_nothing_to_say_is_refused(ann: User, model: ModelRecord, text: str) -> None:
    with pytest.raises(InvalidRequest):
        opened(ann, text)


def test_an_unknown_model_leaves_nothing_behind(ann: User, model: ModelRecord) -> None:
    with pytest.raises(ModelNotFound):
        services.turn_open(user=ann, conversation=None, text="Hello", model="nobody")
    assert not Conversation.objects.exists()


def test_closing_stores_how_it_went_once(ann: User, model: ModelRecord) -> None:
    turn = opened(ann)
    closed(turn)
    closed(turn, "something else", Status.FAILED)
    stored = Message.objects.get(pk=turn.answer.pk)
    assert (stored.status, stored.content, stored.finish_reason) == (Status.COMPLETE, "Hi", "stop")
    assert (stored.prompt_tokens, stored.completion_tokens, stored.total_ns) == (3, 5, 4)
    assert stored.tokens_per_second == 5 * 1e9 / 2


def test_a_checkpoint_says_whether_the_answer_is_still_wanted(ann: User, model: ModelRecord) -> None:
    turn = opened(ann)
    assert services.message_checkpoint(message_id=turn.answer.pk, content="so far")
    assert Message.objects.get(pk=turn.answer.pk).content == "so far"
    services.conversation_delete(user=ann, conversation_id=turn.conversation.pk)
    assert not services.message_checkpoint(message_id=turn.answer.pk, content="so far")


def test_history_keeps_what_was_said_and_leaves_failures_out(ann: User, model: ModelRecord) -> None:
    turn = opened(ann, "one")
    closed(turn, "first", Status.STOPPED)
    turn = following(turn, "two")
    closed(turn, "", Status.FAILED, error="no memory")
    turn = following(turn, "two again")
    closed(turn, "half", Status.INTERRUPTED)
    said = following(turn, "three").request.messages
    assert [one.content for one in said] == ["Be brief.", "one", "first", "two again", "half", "three"]


def test_the_sweep_marks_what_a_server_left_unfinished(ann: User, model: ModelRecord) -> None:
    turn = opened(ann)
    services.message_checkpoint(message_id=turn.answer.pk, content="so far")
    assert services.turns_sweep(gone=services.WRITER) == 1
    stored = Message.objects.get(pk=turn.answer.pk)
    assert (stored.status, stored.content) == (Status.INTERRUPTED, "so far")
    assert stored.error
    assert services.turns_sweep(gone=services.WRITER) == 0
    following(turn, "And?")


def test_what_another_server_writes_is_left_alone_until_that_is_silent(ann: User, model: ModelRecord) -> None:
    turn = opened(ann)
    row = Message.objects.filter(pk=turn.answer.pk)
    row.update(writer="another", alive=timezone.now() - services.WRITER_GONE)
    assert services.message_checkpoint(message_id=turn.answer.pk, content="so far")
    services.conversation_free(user=ann, conversation_id=turn.conversation.pk)
    services.answer_abandon(user=ann, message_id=turn.answer.pk)
    assert services.turns_sweep(gone="a third") == 0
    with pytest.raises(Busy):
        following(turn, "And?")
    row.update(alive=timezone.now() - services.WRITER_GONE)
    assert services.turns_sweep(gone="a third") == 1
    following(turn, "And?")


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Hello", "Hello"),
        ("\n  Hello   there \nmore", "Hello there"),
        ("word " * 30, "word word word word word word word word word word word word…"),
        ("It ends here, " + "then " * 20, "It ends here, then then then then then then then then then…"),
        ("x" * 200, "x" * 60 + "…"),
    ],
)
def test_a_title_is_the_first_line_cut_at_a_word(text: str, title: str) -> None:
    assert services.title_of(text) == title


def test_a_conversation_can_be_renamed_and_deleted_by_its_owner_only(
    ann: User, bob: User, model: ModelRecord
) -> None:
    talk = opened(ann).conversation
    for change in (
        lambda user: services.conversation_rename(user=user, conversation_id=talk.pk, title="Mine"),
        lambda user: services.conversation_delete(user=user, conversation_id=talk.pk),
    ):
        with pytest.raises(NotFound):
            change(bob)
        change(ann)
    assert not Conversation.objects.exists()
    assert not Message.objects.exists()


def test_a_title_cannot_be_empty(ann: User, model: ModelRecord) -> None:
    with pytest.raises(InvalidRequest):
        services.conversation_rename(user=ann, conversation_id=opened(ann).conversation.pk, title=" ")


def test_what_was_read_for_one_user_is_not_reused_for_another(db: None) -> None:
    """The engine keeps apart what it has read by the request's owner."""
    model = ModelRecord.objects.create(
        name="kept/apart", source="store", folder="kept/apart", architecture="llama", digest="0" * 64
    )
    users = [User.objects.create_user(name) for name in ("eve", "mallory")]
    opened = [services.turn_open(user=user, conversation=None, text="hi", model=model.name) for user in users]
    owners = {turn.request.owner for turn in opened}
    assert len(owners) == 2
    assert "" not in owners
