"""The JSON body of an API request as a typed struct, whatever its content type says.

Checked by msgspec: strict about types, bounded in depth, and fast enough for the event loop.
Fields that a struct does not know are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from inference.errors import InvalidRequest

Body = TypeVar("Body", bound=Struct)

# How msgspec ends a message: "… - at `$.messages[0].role`", or "… - at `key` in `$.logit_bias`".
_PLACE = re.compile(r" - at (?:`key` in )?`\$\.?(?P<path>.*?)(?:\[\.\.\.\])?`\Z")
_MISSING = re.compile(r"missing required field `(?P<name>[^`]+)`")


def parse(body: bytes, kind: type[Body], *, absent: Collection[Any] = (None,)) -> Body:
    """``body`` as a ``kind``; ``InvalidRequest`` says what is wrong and where.

    A field whose value is one of ``absent`` counts as not given.
    """
    if not body.strip():
        raise InvalidRequest("missing request body")
    try:
        fields = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"invalid request: {error}") from error
    given = {name: value for name, value in fields.items() if value not in absent}
    return struct_of(given, kind)


def struct_of(fields: dict[str, Any], kind: type[Body], *, strict: bool = True) -> Body:
    """``fields`` as a ``kind``; unless ``strict``, numbers may come as text."""
    try:
        return msgspec.convert(fields, kind, strict=strict, str_keys=True)
    except (msgspec.ValidationError, RecursionError) as error:
        raise InvalidRequest(f"invalid request: {error}", param=_field_of(str(error))) from error


def _field_of(text: str) -> str | None:
    """The field that a message of msgspec's is about, as ``messages[0].role``."""
    place, missing = _PLACE.search(text), _MISSING.search(text)
    parts = (place["path"] if place else "", missing["name"] if missing else "")
    return ".".join(filter(None, parts)) or None
