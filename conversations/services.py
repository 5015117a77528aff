"""What is written of conversations: each function is one change, whole or not at all.

Knows nothing of tasks, sockets and pages. ``turn_open`` and ``turn_close`` are the two ends of a
turn; between them the answer's row has the status ``streaming``.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q, QuerySet, prefetch_related_objects
from django.utils import timezone

from aliases.answering import NOT_SEEN
from aliases.selectors import alias_resolve
from aliases.target import Target
from conversations.attachments import attachments_send
from conversations.models import Conversation, Message
from conversations.selectors import conversation_get, history_for_model, messages_below
from inference import protocol
from inference.asker import owner_of
from inference.errors import Busy, InvalidRequest, NotFound, Unsupported
from inference.protocol import Generate, Options, Timings, Usage

LONGEST_TITLE = 60
PICTURE_TITLE = "A picture"
STILL_ANSWERED = "This conversation is still being answered. Wait for the answer, or stop it."
STOPPED_SERVER = "The server was stopped while this was being written."
# This process among those that write into the database, and no other one ever.
WRITER = uuid4().hex
# A writer that has not been heard of for this long is gone.
WRITER_GONE = timedelta(seconds=60)
LOST_END = "This answer could not be stored to its end. The disk may be full."


@dataclass(frozen=True)
class OpenedTurn:
    """A question and the empty answer to it, stored, and what the provider is to be asked."""

    conversation: Conversation
    question: Message
    answer: Message
    target: Target
    request: Generate


def turn_open(
    *,
    user: User,
    conversation: UUID | None,
    text: str,
    model: str,
    options: Options = Options(),
    attachments: Sequence[UUID] = (),
) -> OpenedTurn:
    """Store ``text`` with its pictures and an empty answer, in a new conversation if there is none.

    ``options`` are this answer's alone, and win over the alias's.

    ``Busy`` while another answer is being written in the same conversation, ``Unsupported`` for
    pictures that the model cannot see.
    """
    text = text.replace("\x00", "").lstrip("\n").rstrip()
    if not text and not attachments:
        raise InvalidRequest("Write something first.")
    target = alias_resolve(model)
    if attachments and not (text and target.takes_pictures) and not _sees(target):
        raise Unsupported(
            f"{target.model.name} cannot see pictures. Choose a model that can, or remove them."
        )
    with transaction.atomic():
        talk = _conversation_lock(user, conversation, text or PICTURE_TITLE)
        question = Message.objects.create(
            conversation=talk, parent_id=talk.active_leaf_id, role=Message.Role.USER, content=text
        )
        attachments_send(user=user, message=question, ids=attachments)
        # Whoever shows the question may be on the event loop, where nothing can be asked.
        prefetch_related_objects([question], "attachments")
        answer = Message.objects.create(
            conversation=talk,
            parent=question,
            role=Message.Role.ASSISTANT,
            status=Message.Status.STREAMING,
            writer=WRITER,
            alive=timezone.now(),
            model_provider=target.provider,
            model=target.record.name,
            note=NOT_SEEN if attachments and not _sees(target) else "",
        )
        talk.active_leaf = answer
        talk.model, talk.model_provider, talk.updated = target.model.name, target.provider, timezone.now()
        talk.save()
        return OpenedTurn(talk, question, answer, target, _request(target, talk, options))


def _conversation_lock(user: User, conversation: UUID | None, text: str) -> Conversation:
    """The conversation to write in, locked against a second turn."""
    if conversation is None:
        return Conversation.objects.create(user=user, title=title_of(text))
    talk = Conversation.objects.select_for_update().filter(pk=conversation, user=user).first()
    if talk is None:
        raise NotFound("There is no such conversation.")
    if talk.messages.filter(status=Message.Status.STREAMING).exists():
        raise Busy(STILL_ANSWERED)
    return talk


def _sees(target: Target) -> bool:
    return "vision" in target.capabilities


def _request(target: Target, conversation: Conversation, options: Options) -> Generate:
    system = [protocol.Message(role="system", content=target.system)] if target.system else []
    first = (*system, *target.messages)
    history = history_for_model(conversation=conversation, sees=_sees(target))
    asked = Generate(
        model=target.model,
        messages=(*first, *history[len(first) - protocol.MAX_MESSAGES :]),
        options=options,
        owner=owner_of(conversation.user_id),
    )
    return target.fill(asked)


def title_of(text: str) -> str:
    """The first line of ``text``, cut at a word where it is long."""
    line = " ".join(text.strip().partition("\n")[0].split())
    if len(line) <= LONGEST_TITLE:
        return line
    head, _, rest = line[:LONGEST_TITLE].rpartition(" ")
    return (head or rest).rstrip(" .,:;\u2013-") + "…"


def message_checkpoint(*, message_id: UUID, content: str, thinking: str = "") -> bool:
    """Store the answer so far, and that somebody writes it. False when it is no longer wanted."""
    streaming = Message.objects.filter(pk=message_id, status=Message.Status.STREAMING)
    return streaming.update(content=content, thinking=thinking, alive=timezone.now()) > 0


def turn_close(
    *,
    message: Message,
    status: Message.Status,
    content: str,
    usage: Usage,
    timings: Timings,
    thinking: str = "",
    thinking_ns: int = 0,
    finish_reason: str = "",
    error: str = "",
) -> None:
    """Store how the turn of the answer ``message`` ended, in ``message`` and in its row."""
    ending = {
        "status": status,
        "content": content,
        "thinking": thinking,
        "thinking_ns": thinking_ns,
        "finish_reason": finish_reason,
        "error": textwrap.shorten(error, 500, placeholder="…"),
        "model": message.model,
        "model_provider": message.model_provider,
        "note": textwrap.shorten(message.note, 300, placeholder="…"),
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "load_ns": timings.load,
        "prompt_ns": timings.prompt,
        "completion_ns": timings.completion,
        "total_ns": timings.total,
    }
    Message.objects.filter(pk=message.pk, status=Message.Status.STREAMING).update(**ending)
    for name, value in ending.items():
        setattr(message, name, value)


def turns_sweep(*, gone: str = "") -> int:
    """Mark every answer that was left unfinished by the writer ``gone`` or one not heard of any more."""
    unfinished = _left_by(gone, Message.objects.all())
    return unfinished.update(status=Message.Status.INTERRUPTED, error=STOPPED_SERVER)


def answer_abandon(*, user: User, message_id: UUID) -> None:
    """Mark an answer that was left unfinished; for when no turn of this process writes it."""
    _abandon(Message.objects.filter(pk=message_id, conversation__user=user))


def answer_stop(*, user: User, message_id: UUID) -> None:
    """Have the server that writes the answer stop: it looks once a second whether it is still wanted."""
    running = Message.objects.filter(pk=message_id, conversation__user=user, status=Message.Status.STREAMING)
    running.update(status=Message.Status.STOPPED)


def conversation_free(*, user: User, conversation_id: UUID) -> None:
    """Mark what was left unfinished, so that the conversation can go on; for when no turn of this process
    runs there."""
    _abandon(Message.objects.filter(conversation=conversation_id, conversation__user=user))


def _abandon(messages: QuerySet[Message]) -> None:
    unfinished = _left_by(WRITER, messages)
    unfinished.update(status=Message.Status.INTERRUPTED, error=LOST_END)


def _left_by(gone: str, messages: QuerySet[Message]) -> QuerySet[Message]:
    """Those of ``messages`` that nobody writes any more: not ``gone``, and no other server that lives."""
    silent = Q(writer__in=("", gone)) | Q(alive__lt=timezone.now() - WRITER_GONE)
    return messages.filter(silent, status=Message.Status.STREAMING)


def conversation_rename(*, user: User, conversation_id: UUID, title: str) -> Conversation:
    """Give the conversation another title."""
    conversation = conversation_get(user=user, conversation_id=conversation_id)
    conversation.title = title_of(title.replace("\x00", ""))
    if not conversation.title:
        raise InvalidRequest("A conversation needs a title.")
    conversation.save(update_fields=["title"])
    return conversation


def messages_delete(*, messages: Iterable[Message]) -> None:
    """Delete ``messages`` and all that was said after them; their conversations go on from before that."""
    chosen = list(messages)
    with transaction.atomic():
        # Locked before anything is read: what is said meanwhile goes too.
        locked = Conversation.objects.select_for_update().order_by("pk")
        talks = list(locked.filter(pk__in={message.conversation_id for message in chosen}))
        parents = {message.pk: message.parent_id for message in messages_below(chosen)}
        for talk in talks:
            while talk.active_leaf_id in parents:
                talk.active_leaf_id = parents[talk.active_leaf_id]
            talk.save(update_fields=["active_leaf"])
        Message.objects.filter(pk__in=parents).delete()


def conversation_delete(*, user: User, conversation_id: UUID) -> None:
    """Delete the conversation with all its messages. A turn that runs in it ends by itself."""
    conversation_get(user=user, conversation_id=conversation_id).delete()
