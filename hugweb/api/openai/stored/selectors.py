"""Reading responses. What belongs to somebody else is not there."""

from __future__ import annotations

from hugweb.api.openai.stored.models import Item, StoredResponse
from inference.errors import InvalidRequest, NotFound


def response_get(*, owner: int | None, id: str) -> StoredResponse:
    """A response of ``owner``; ``NotFound`` if there is none."""
    stored = StoredResponse.objects.filter(owner=owner, pk=id).first()
    if stored is None:
        raise NotFound(f"Response with id '{id[:64]}' not found.")
    return stored


def response_history(*, owner: int | None, previous: str) -> tuple[str, list[Item]]:
    """The thread that ``previous`` is in, and all that was said in it up to and with ``previous``.

    A thread of which a part is gone cannot go on: an answer without it would not be one to the question.
    """
    try:
        thread = response_get(owner=owner, id=previous).thread
    except NotFound as error:
        raise _gone(previous) from error
    stored = {one.pk: one for one in StoredResponse.objects.filter(owner=owner, thread=thread)}
    chain: list[StoredResponse] = []
    while previous:
        if previous not in stored:
            raise _gone(previous)
        chain.append(stored.pop(previous))
        previous = chain[-1].previous
    return thread, [item for one in reversed(chain) for item in (*one.item_list, *one.output)]


def _gone(id: str) -> InvalidRequest:
    return InvalidRequest(f"Previous response with id '{id[:64]}' not found.", param="previous_response_id")
