"""Reading responses. What belongs to somebody else is not there."""

from __future__ import annotations

from collections.abc import Collection

from django.db.models import Sum

from hugweb.api.openai.stored.ids import response_of
from hugweb.api.openai.stored.models import Item, StoredResponse
from inference.errors import InvalidRequest, NotFound, TooLarge

# Of what one request may go on from, in bytes: all of it is read at once.
MAX_HISTORY = 64 * 2**20


def response_get(*, owner: int | None, id: str) -> StoredResponse:
    """A response of ``owner``; ``NotFound`` if there is none."""
    # PostgreSQL refuses to look for a text that holds a NUL.
    stored = None if "\x00" in id else StoredResponse.objects.filter(owner=owner, pk=id).first()
    if stored is None:
        raise NotFound(f"Response with id '{id[:64]}' not found.")
    return stored


def response_history(*, owner: int | None, previous: str) -> tuple[str, list[Item]]:
    """The thread that ``previous`` is in, and all that was said in it up to and with ``previous``.

    A thread of which a part is gone cannot go on: an answer without it would not be one to the question.
    ``TooLarge`` for more than ``MAX_HISTORY``; other branches of the thread are not read.
    """
    try:
        thread = response_get(owner=owner, id=previous).thread
    except NotFound as error:
        raise _gone(previous) from error
    chain = _chain(owner, thread, previous)
    stored = StoredResponse.objects.filter(owner=owner).in_bulk(chain)
    if missing := next((id for id in chain if id not in stored), None):
        raise _gone(missing)
    told = (stored[id] for id in reversed(chain))
    return thread, [item for one in told for item in (*one.item_list, *one.output)]


def items_get(*, owner: int | None, ids: Collection[str]) -> dict[str, Item]:
    """Those of the items of ``ids`` that are in responses of ``owner``, by id.

    ``TooLarge`` where these responses are larger than ``MAX_HISTORY`` together.
    """
    responses = {response for id in ids if (response := response_of(id))}
    found = StoredResponse.objects.filter(owner=owner, pk__in=responses)
    _check_size(found.aggregate(total=Sum("size"))["total"] or 0)
    wanted = set(ids)
    told = (item for one in found for item in (*one.item_list, *one.output))
    return {item["id"]: item for item in told if item["id"] in wanted}


def _chain(owner: int | None, thread: str, previous: str) -> list[str]:
    """The responses from ``previous`` back to the first of its thread."""
    found = StoredResponse.objects.filter(owner=owner, thread=thread)
    rows = {id: (before, size) for id, before, size in found.values_list("pk", "previous", "size")}
    chain: list[str] = []
    total = 0
    while previous:
        if previous not in rows:
            raise _gone(previous)
        chain.append(previous)
        previous, size = rows.pop(previous)
        total += size
    _check_size(total)
    return chain


def _check_size(total: int) -> None:
    if total > MAX_HISTORY:
        raise TooLarge(
            f"What was said before is larger than {MAX_HISTORY // 2**20} MB. Begin again, without naming"
            " what was said."
        )


def _gone(id: str) -> InvalidRequest:
    return InvalidRequest(f"Previous response with id '{id[:64]}' not found.", param="previous_response_id")
