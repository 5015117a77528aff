"""The JSON body of an API request as a typed struct, whatever its content type says.

Checked by msgspec: strict about types, bounded in depth, and fast enough for the event loop.
Fields that a struct does not know are ignored, and never made into objects.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from inference.errors import InvalidRequest, TooLarge
from inference.uncollected import uncollected

Body = TypeVar("Body", bound=Struct)

# An object takes a hundred times the bytes of its `{}`. As many values as commas, so this is what bounds
# them; it is more than the tokens that any context has room for.
MOST_COMMAS = 400_000

# Objects take longer to make, and to look through, than other values. Quotes inside of texts are escaped, so
# that hardly anything that looks like an object in those is counted.
MOST_OBJECTS = 20_000
_BEGINNINGS = (b'{"', b"{}")
_SPACES = b" \t\r\n"

# How msgspec ends a message: "… - at `$.messages[0].role`", or "… - at `key` in `$.logit_bias`".
_PLACE = re.compile(r" - at (?:`key` in )?`\$\.?(?P<path>.*?)(?:\[\.\.\.\])?`\Z")
_MISSING = re.compile(r"missing required field `(?P<name>[^`]+)`")


def parse(body: bytes, kind: type[Body], *, absent: Collection[Any] = (None,)) -> Body:
    """``body`` as a ``kind``; ``InvalidRequest`` says what is wrong and where.

    A field whose value is one of ``absent`` counts as not given. Nothing is made of a list that is longer
    than ``kind.longest`` says, where it says so: how many of which noun each field may hold.
    """
    if not body.strip():
        raise InvalidRequest("missing request body")
    if body.count(b",") > MOST_COMMAS:
        raise TooLarge(f"The request has more than {MOST_COMMAS} values. Send several smaller ones.")
    try:
        fields = msgspec.json.decode(body, type=dict[str, Raw])
        _check_lists(fields, getattr(kind, "longest", {}))
        _check_objects(body)
        nothing = [msgspec.json.encode(value) for value in absent]
        given = {
            name: field
            for name, field in fields.items()
            if name in _names(kind) and memoryview(field) not in nothing
        }
        with uncollected():
            return msgspec.json.decode(msgspec.json.encode(given), type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _invalid(error) from error


def _check_lists(fields: Mapping[str, Raw], longest: Mapping[str, tuple[int, str]]) -> None:
    for name, (most, noun) in longest.items():
        field = memoryview(fields.get(name, Raw(b"")))
        if field[:1] != b"[":
            continue
        count = len(msgspec.json.decode(field, type=list[Raw]))
        if count > most:
            raise InvalidRequest(f"{count} {noun} are too many; at most {most} are taken.", param=name)


def _check_objects(body: bytes) -> None:
    if body.count(b"{") <= MOST_OBJECTS:
        return
    packed = body.translate(None, _SPACES)
    if sum(map(packed.count, _BEGINNINGS)) > MOST_OBJECTS:
        raise TooLarge(f"The request has more than {MOST_OBJECTS} objects. Send several smaller ones.")


@cache
def _names(kind: type[Struct]) -> frozenset[str]:
    """The fields of ``kind``, as JSON names them."""
    return frozenset(field.encode_name for field in msgspec.structs.fields(kind))


def struct_of(fields: dict[str, Any], kind: type[Body], *, strict: bool = True) -> Body:
    """``fields`` as a ``kind``; unless ``strict``, numbers may come as text."""
    try:
        return msgspec.convert(fields, kind, strict=strict, str_keys=True)
    except (msgspec.ValidationError, RecursionError) as error:
        raise _invalid(error) from error


def _invalid(error: Exception) -> InvalidRequest:
    return InvalidRequest(f"invalid request: {error}", param=_field_of(str(error)))


def _field_of(text: str) -> str | None:
    """The field that a message of msgspec's is about, as ``messages[0].role``."""
    place, missing = _PLACE.search(text), _MISSING.search(text)
    parts = (place["path"] if place else "", missing["name"] if missing else "")
    return ".".join(filter(None, parts)) or None
