"""What is written of attachments: storing an upload, giving it to a message, and cleaning up.

Whatever deletes an attachment's row, with its conversation or its owner, takes its file along.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from conversations.media import media_read, media_remove, media_sweep, media_write
from conversations.models import Attachment, Message
from conversations.pictures import picture_check
from inference.errors import InferenceError, InvalidRequest, NotFound, TooLarge

logger = logging.getLogger(__name__)

MOST_PICTURES = 8
# Of one message, in bytes; with what the history may add it fits into a frame of the engine's wire.
MOST_TOGETHER = 32 * 2**20
# Uploads of one person that wait to be sent; of more, the oldest go.
MOST_UNSENT = 32
UNSENT_FOR = timedelta(days=1)


def attachment_store(*, user: User, data: bytes) -> Attachment:
    """Keep an uploaded picture for ``user``. Errors as ``picture_check``'s."""
    found = picture_check(data)
    digest = hashlib.sha256(data).hexdigest()
    attachment = Attachment(owner=user, sha256=digest, size=len(data), **found._asdict())
    try:
        media_write(attachment.pk, data)
    except OSError as error:
        logger.exception("An upload could not be stored.")
        raise InferenceError("The picture could not be stored. The disk may be full.") from error
    attachment.save(force_insert=True)
    unsent = Attachment.objects.filter(owner=user, message=None).order_by("-created")
    _forget(unsent[MOST_UNSENT:])
    return attachment


def attachments_send(*, user: User, message: Message, ids: Sequence[UUID]) -> list[Attachment]:
    """Give ``message`` these pictures, in this order, in the caller's transaction; one that was sent before
    is copied.

    ``NotFound`` for one that is not ``user``'s, ``TooLarge`` for too many or too much.
    """
    if len(ids) > MOST_PICTURES:
        raise TooLarge(f"At most {MOST_PICTURES} pictures go with a message.")
    if len(set(ids)) < len(ids):
        raise InvalidRequest("The same picture was sent twice.")
    found = Attachment.objects.select_for_update().filter(owner=user).in_bulk(ids)
    if len(found) < len(ids):
        raise NotFound("A picture is no longer there. Remove it and attach it again.")
    if sum(one.size for one in found.values()) > MOST_TOGETHER:
        raise TooLarge(f"The pictures are larger than {MOST_TOGETHER // 2**20} MB together. Send fewer.")
    return [_give(found[id], message, position) for position, id in enumerate(ids)]


def _give(attachment: Attachment, message: Message, position: int) -> Attachment:
    if attachment.message_id is not None:
        data = _read(attachment)
        attachment = Attachment(
            owner_id=attachment.owner_id,
            sha256=attachment.sha256,
            size=attachment.size,
            type=attachment.type,
            width=attachment.width,
            height=attachment.height,
        )
        media_write(attachment.pk, data)
    attachment.message, attachment.position = message, position
    attachment.save()
    return attachment


def _read(attachment: Attachment) -> bytes:
    try:
        return media_read(attachment.pk)
    except FileNotFoundError as error:
        raise NotFound("A picture is no longer there. Attach it again.") from error


def attachment_remove(*, user: User, attachment_id: UUID) -> None:
    """Forget a picture that has not been sent; one that was, or that is not there, stays as it is."""
    _forget(Attachment.objects.filter(pk=attachment_id, owner=user, message=None))


def _forget(uploads: QuerySet[Attachment]) -> int:
    """Delete ``uploads``, but for those that are sent meanwhile; says how many."""
    count = 0
    for key in list(uploads.values_list("pk", flat=True)):
        with transaction.atomic():
            for upload in Attachment.objects.select_for_update().filter(pk=key, message=None):
                upload.delete()
                count += 1
    return count


def attachment_deleted(instance: Attachment, **_: Any) -> None:
    """A row has gone: its file goes when that is certain."""
    # By then the row knows its key no more.
    transaction.on_commit(partial(media_remove, instance.pk))


def attachments_sweep() -> int:
    """Delete what was uploaded and not sent for a day, and files that belong to nothing; says how many."""
    forgotten = Attachment.objects.filter(message=None, created__lt=timezone.now() - UNSENT_FOR)
    count = _forget(forgotten)
    kept = {id.hex for id in Attachment.objects.values_list("pk", flat=True)}
    return count + media_sweep(kept)
