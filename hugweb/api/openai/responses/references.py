"""Items that are named by their ids instead of told: what was told under these ids takes their place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hugweb.api.openai.frames import Frame
from inference.errors import InvalidRequest, NotFound
from inference.protocol import MAX_MESSAGES

REFERENCE = "item_reference"


def is_reference(item: Mapping[str, Any]) -> bool:
    """Whether ``item`` names another. Its type may be left out, as a message's may, which has a role."""
    kind = item.get("type")
    return kind == REFERENCE or (kind is None and item.get("role") is None and "id" in item)


def referred(items: Sequence[Frame], history: Sequence[Frame]) -> list[str]:
    """The ids that ``items`` name beyond ``history``."""
    known = {item["id"] for item in history}
    named = [item["id"] for item in items if item["type"] == REFERENCE and isinstance(item["id"], str)]
    if len(named) > MAX_MESSAGES:
        raise InvalidRequest(f"At most {MAX_MESSAGES} items can be named.", param="input")
    if len(set(named)) < len(named):
        raise InvalidRequest("An item is named twice.", param="input")
    return [id for id in named if id not in known]


def resolved(items: Sequence[Frame], history: Sequence[Frame], found: Mapping[str, Frame]) -> Iterator[Frame]:
    """``items`` with those that were ``found`` in the places where they are named.

    What ``history`` has is not told twice. ``NotFound`` for what is nowhere.
    """
    known = {item["id"] for item in history}
    for number, item in enumerate(items):
        if item["type"] != REFERENCE or not isinstance(item["id"], str):
            yield item
        elif item["id"] in found:
            yield found[item["id"]]
        elif item["id"] not in known:
            raise _gone(item["id"], number)


def _gone(id: str, number: int) -> NotFound:
    error = NotFound(
        f"Item with id '{id[:64]}' not found. Items of responses that are not stored, or no longer, have to"
        " be sent whole."
    )
    error.param = f"input[{number}].id"
    return error
