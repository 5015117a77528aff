"""What is read of conversations. Everything is asked for by its owner: others find nothing.

Knows nothing of turns that are running: the text of one is as old as its last checkpoint.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import groupby
from typing import cast
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from aliases.selectors import alias_models, aliases_visible
from conversations.media import media_read
from conversations.models import Attachment, Conversation, Message
from inference import protocol
from inference.errors import NotFound
from inference.models import ModelRecord
from inference.protocol import Quantization
from inference.providers.configs import models_offered

logger = logging.getLogger(__name__)

LIST_PAGE = 50
LONGEST_SEARCH = 200
HISTORY_PAGE = 100
# What a model is told of: answers that were cut short still are what was said.
SAID = (Message.Status.COMPLETE, Message.Status.STOPPED, Message.Status.INTERRUPTED)
# How many pictures, and how many bytes of them, a model is told of at a time: the engine takes no more.
TOLD_PICTURES = 32
TOLD_BYTES = 40 * 2**20


@dataclass(frozen=True)
class ConversationList:
    """One page of somebody's conversations, newest first, grouped by age."""

    groups: Sequence[tuple[str, Sequence[Conversation]]]
    page: int
    has_older: bool
    search: str = ""


@dataclass(frozen=True)
class History:
    """Part of a conversation; ``earlier`` is the message to ask for what came before it."""

    messages: Sequence[Message]
    earlier: UUID | None


@dataclass(frozen=True)
class ModelChoices:
    """The names that can be chatted with; those in ``seeing`` can be shown pictures.

    ``loads``: what is loaded for each, and in which precision.
    """

    aliases: Sequence[str]
    models: Sequence[str]
    seeing: frozenset[str] = frozenset()
    loads: Mapping[str, tuple[ModelRecord, Quantization]] = field(default_factory=dict)

    @property
    def first(self) -> str:
        return next(iter([*self.aliases, *self.models]), "")

    def __contains__(self, name: object) -> bool:
        return name in self.aliases or name in self.models


def conversation_get(*, user: User, conversation_id: UUID) -> Conversation:
    """The conversation, if it is ``user``'s; ``NotFound`` otherwise."""
    try:
        return Conversation.objects.get(pk=conversation_id, user=user)
    except Conversation.DoesNotExist as error:
        raise NotFound("There is no such conversation.") from error


def message_get(*, user: User, message_id: UUID) -> Message:
    """The message, if it is in one of ``user``'s conversations; ``NotFound`` otherwise."""
    try:
        return Message.objects.get(pk=message_id, conversation__user=user)
    except Message.DoesNotExist as error:
        raise NotFound("There is no such message.") from error


def messages_below(messages: Iterable[Message]) -> list[Message]:
    """``messages`` and all that was said after them, however long that is."""
    waiting = list(messages)
    following: dict[UUID | None, list[Message]] = defaultdict(list)
    for message in Message.objects.filter(conversation__in={one.conversation_id for one in waiting}):
        following[message.parent_id].append(message)
    found = {}
    while waiting:
        message = waiting.pop()
        if message.pk not in found:
            found[message.pk] = message
            waiting += following[message.pk]
    return list(found.values())


def message_wanted(*, message_id: UUID) -> bool:
    """Whether the answer is still to be written: its row may have gone."""
    return Message.objects.filter(pk=message_id, status=Message.Status.STREAMING).exists()


def attachment_get(*, user: User, attachment_id: UUID) -> Attachment:
    """The attachment, if it is ``user``'s; ``NotFound`` otherwise."""
    try:
        return Attachment.objects.get(pk=attachment_id, owner=user)
    except Attachment.DoesNotExist as error:
        raise NotFound("There is no such picture.") from error


def conversation_list(*, user: User, page: int = 1, search: str = "") -> ConversationList:
    """Page ``page`` of what ``user`` has, or of what has ``search`` in its title or its messages."""
    start = (page - 1) * LIST_PAGE
    search = " ".join(search.replace("\x00", "").split())[:LONGEST_SEARCH]
    owned = Conversation.objects.filter(user=user)
    if search:
        said = Message.objects.filter(conversation=OuterRef("pk"), content__icontains=search)
        owned = owned.filter(Q(title__icontains=search) | Q(Exists(said)))
    found = list(owned[start : start + LIST_PAGE + 1])
    today = timezone.localdate()
    by_age = groupby(found[:LIST_PAGE], key=lambda one: _age(timezone.localdate(one.updated), today))
    groups = [(age, list(members)) for age, members in by_age]
    return ConversationList(groups, page, len(found) > LIST_PAGE, search)


def _age(day: date, today: date) -> str:
    if day >= today:
        return "Today"
    if day == today - timedelta(days=1):
        return "Yesterday"
    return "Previous 7 days" if day >= today - timedelta(days=7) else "Older"


def history_get(*, conversation: Conversation, before: UUID | None = None) -> History:
    """The last messages along the active leaf, or the last ones before the message ``before``."""
    path = list(_path(conversation, conversation.active_leaf_id))
    end = path.index(before) if before in path else len(path)
    start = max(0, end - HISTORY_PAGE)
    found = Message.objects.prefetch_related("attachments").in_bulk(path[start:end])
    return History([found[key] for key in path[start:end]], path[start] if start else None)


def history_for_model(*, conversation: Conversation, sees: bool) -> list[protocol.Message]:
    """What a model is told: all that was said along the active leaf, with pictures if it ``sees``.

    A question whose answer failed is left out with it: most templates want the roles to alternate.
    """
    path = list(_path(conversation, conversation.active_leaf_id))
    something = ~Q(content="") | Q(attachments__isnull=False)
    found = Message.objects.filter(something, conversation=conversation, status__in=SAID).in_bulk()
    said = [found[key] for key in path if key in found]
    answered = [
        message
        for message, following in zip(said, [*said[1:], None], strict=True)
        if following is None or not message.role == following.role == Message.Role.USER
    ]
    images = _images(answered) if sees else {}
    return [
        protocol.Message(
            role=cast(protocol.Role, message.role), content=message.content, images=images.get(message.pk, ())
        )
        for message in answered
    ]


def _images(messages: Sequence[Message]) -> Mapping[UUID, tuple[bytes, ...]]:
    """The files of the pictures in ``messages``, by message: the newest ones, as many as are taken."""
    attached = Attachment.objects.filter(message__in=messages).order_by("-message__created", "position")
    images: dict[UUID, tuple[bytes, ...]] = {}
    count = size = 0
    for attachment in attached:
        count, size = count + 1, size + attachment.size
        if count > TOLD_PICTURES or size > TOLD_BYTES:
            break
        assert attachment.message_id is not None
        try:
            data = media_read(attachment.pk)
        except FileNotFoundError:
            logger.warning("The file of %s is missing.", attachment)
        else:
            images[attachment.message_id] = (*images.get(attachment.message_id, ()), data)
    return images


def _path(conversation: Conversation, leaf: UUID | None) -> Iterator[UUID]:
    """The messages from the root to ``leaf``."""
    parents = dict(Message.objects.filter(conversation=conversation).values_list("pk", "parent_id"))
    path = []
    while leaf is not None:
        path.append(leaf)
        leaf = parents[leaf]
    return reversed(path)


def model_choices(*, user: User) -> ModelChoices:
    """Aliases and models that can chat and that ``user`` may ask, by name."""
    records = {record.name.lower(): record for record in models_offered()}
    chatting = {
        key: record.name
        for key, record in records.items()
        if not record.capabilities or "completion" in record.capabilities
    }
    aliases = aliases_visible(user.pk)
    models = alias_models(aliases)
    names = [alias.name for alias in aliases if models[alias.name.lower()] in chatting]
    seeing = [key for key in chatting if settings.VISION_FALLBACK or "vision" in records[key].capabilities]
    names_seeing = [name for name in names if models[name.lower()] in seeing]
    return ModelChoices(
        aliases=names,
        models=sorted(chatting.values(), key=str.lower),
        seeing=frozenset([*names_seeing, *(chatting[key] for key in seeing)]),
        loads={
            **{chatting[key]: (records[key], "none") for key in chatting},
            **{
                alias.name: (records[models[alias.name.lower()]], cast(Quantization, alias.quantization))
                for alias in aliases
                if models[alias.name.lower()] in chatting
            },
        },
    )


def model_preferred(*, user: User, choices: ModelChoices) -> str:
    """The model for a new conversation: the one asked last, if it is still there."""
    last = Conversation.objects.filter(user=user).values_list("model", flat=True).first()
    return last if last and last in choices else choices.first
