"""The ids of responses and of their items.

An item's id holds that of the response that it was told with, so an item is found by its id alone.
"""

from __future__ import annotations

import re
import secrets

_RESPONSE = "resp_"
_ITEM = re.compile(r"[a-z]+_(?P<response>[0-9a-f]{24})[0-9a-f]{16}")


def new_response_id() -> str:
    """A fresh id of a response."""
    return f"{_RESPONSE}{secrets.token_hex(12)}"


def new_item_id(prefix: str, response: str) -> str:
    """A fresh id of an item of ``response``; its ``prefix`` is that of its kind, as in ``msg_``."""
    return f"{prefix}{response.removeprefix(_RESPONSE)}{secrets.token_hex(8)}"


def response_of(item: str) -> str | None:
    """The response that an item of that id is in, if it is in one."""
    match = _ITEM.fullmatch(item)
    return match and _RESPONSE + match["response"]
