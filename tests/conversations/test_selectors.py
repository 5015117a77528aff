"""What is read: the list by age, history in parts, and the models that can chat."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from aliases.models import Alias
from conversations import selectors
from conversations.models import Conversation, Message
from inference.models import ModelRecord

pytestmark = pytest.mark.django_db


def talk(user: User, *, days: float = 0, title: str = "Talk") -> Conversation:
    made = Conversation.objects.create(user=user, title=title, model="tester", model_provider="huggingface")
    made.updated = timezone.now() - timedelta(days=days)
    made.save()
    return made


def say(conversation: Conversation, count: int) -> list[Message]:
    """A chain of messages, and one of a branch that is not the active one."""
    chain: list[Message] = []
    for number in range(count):
        parent = chain[-1] if chain else None
        role = "assistant" if number % 2 else "user"
        chain.append(
            Message.objects.create(conversation=conversation, parent=parent, role=role, content=str(number))
        )
    Message.objects.create(conversation=conversation, parent=chain[0], role="assistant", content="other")
    conversation.active_leaf = chain[-1]
    conversation.save()
    return chain


@pytest.mark.usefixtures("one_day")
def test_conversations_are_grouped_by_age_newest_first(ann: User, bob: User) -> None:
    for days in (40, 0, 1, 3, 8):
        talk(ann, days=days, title=str(days))
    talk(bob, title="Bob's")
    groups = [
        (age, [one.title for one in members]) for age, members in selectors.conversation_list(user=ann).groups
    ]
    assert groups == [
        ("Today", ["0"]),
        ("Yesterday", ["1"]),
        ("Previous 7 days", ["3"]),
        ("Older", ["8", "40"]),
    ]


def test_a_search_finds_titles_and_what_was_said_of_ones_own(ann: User, bob: User) -> None:
    boat, tram = talk(ann, title="A sailing boat"), talk(ann, title="Lisbon")
    say(boat, 3)
    Message.objects.create(conversation=tram, role="user", content="Which  tram?")
    Message.objects.create(conversation=talk(bob, title="Bob's boat"), role="user", content="tram")

    def found(search: str) -> list[Conversation]:
        listed = selectors.conversation_list(user=ann, search=search)
        return [one for _, members in listed.groups for one in members]

    assert found("BOAT") == [boat]
    assert found(" tram\x00 ") == [tram]
    assert found("other") == [boat], "a branch that is not the active one"
    assert found("_") == found("x" * 10_000) == []
    assert found(" ") == [tram, boat]


def test_the_list_comes_in_pages(ann: User) -> None:
    for number in range(selectors.LIST_PAGE + 1):
        talk(ann, days=number)
    first = selectors.conversation_list(user=ann)
    second = selectors.conversation_list(user=ann, page=2)
    assert (first.has_older, second.has_older) == (True, False)
    assert [len(members) for _, members in second.groups] == [1]


def test_history_comes_in_parts_along_the_active_leaf(ann: User) -> None:
    conversation = talk(ann)
    chain = say(conversation, selectors.HISTORY_PAGE + 5)
    last = selectors.history_get(conversation=conversation)
    assert [one.pk for one in last.messages] == [one.pk for one in chain[5:]]
    assert last.earlier == chain[5].pk
    first = selectors.history_get(conversation=conversation, before=last.earlier)
    assert [one.pk for one in first.messages] == [one.pk for one in chain[:5]]
    assert first.earlier is None


def test_reading_history_takes_three_queries(ann: User, django_assert_num_queries: Any) -> None:
    conversation = talk(ann)
    say(conversation, 50)
    with django_assert_num_queries(3):
        selectors.history_get(conversation=conversation)


def test_only_models_that_chat_can_be_chosen(ann: User, model: ModelRecord) -> None:
    for name, capabilities in (("org/Embedder", ["embedding"]), ("org/Chatter", ["completion", "vision"])):
        ModelRecord.objects.create(
            name=name, source="hub", folder=name, architecture="x", capabilities=capabilities
        )
    Alias.objects.create(name="embedder", model="org/embedder")
    Alias.objects.create(name="dangling", model="org/gone")
    Alias.objects.create(name="chatter", model="ORG/chatter")
    choices = selectors.model_choices(user=ann)
    assert (choices.aliases, choices.models) == (["chatter", "tester"], ["org/Chatter", "test/model"])
    assert choices.seeing == {"chatter", "org/Chatter"}
    assert "tester" in choices
    assert "dangling" not in choices


def test_the_model_asked_last_is_preferred_while_it_is_there(ann: User, model: ModelRecord) -> None:
    choices = selectors.model_choices(user=ann)
    assert selectors.model_preferred(user=ann, choices=choices) == "tester"
    conversation = talk(ann)
    conversation.model = "test/model"
    conversation.save()
    assert selectors.model_preferred(user=ann, choices=choices) == "test/model"
    conversation.model = "org/gone"
    conversation.save()
    assert selectors.model_preferred(user=ann, choices=choices) == "tester"
