"""Keeping responses, within bounds."""

from __future__ import annotations

from datetime import timedelta

import msgspec
from django.db import transaction
from django.db.models import F, Q, Sum, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from hugweb.api.openai.stored.models import Item, StoredResponse
from hugweb.api.openai.stored.selectors import response_get

# For each owner; what is beyond any of them is forgotten, the oldest first.
MAX_RESPONSES = 5000
MAX_BYTES = 2**30
MAX_AGE = timedelta(days=30)


@transaction.atomic
def response_store(*, owner: int | None, thread: str, items: list[Item], response: Item) -> StoredResponse:
    """Keep ``response`` to ``items``; an empty ``thread`` begins one."""
    asked, answered = msgspec.json.encode(items), msgspec.json.encode(response)
    stored = StoredResponse.objects.create(
        id=response["id"],
        owner_id=owner,
        previous=response["previous_response_id"] or "",
        thread=thread or response["id"],
        items=asked.decode(),
        response=answered.decode(),
        size=len(asked) + len(answered),
    )
    _forget(owner)
    return stored


def response_delete(*, owner: int | None, id: str) -> None:
    """Forget a response of ``owner``; ``NotFound`` if there is none."""
    response_get(owner=owner, id=id).delete()


def _forget(owner: int | None) -> None:
    newest_first = F("created").desc()
    counted = StoredResponse.objects.filter(owner=owner).annotate(
        number=Window(RowNumber(), order_by=newest_first),
        bytes=Window(Sum("size"), order_by=newest_first),
    )
    too_old = Q(created__lt=timezone.now() - MAX_AGE)
    beyond = counted.filter(Q(number__gt=MAX_RESPONSES) | Q(bytes__gt=MAX_BYTES) | too_old)
    StoredResponse.objects.filter(pk__in=list(beyond.order_by().values_list("pk", flat=True))).delete()
