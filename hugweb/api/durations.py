"""Ollama's durations: seconds as a number, or Go's notation as a string.

The grammar and the texts are those of Go's ``time.ParseDuration``, which clients know.
"""

from __future__ import annotations

import math
import re
import sys
from typing import Any

from inference.durations import FOREVER, UNITS
from inference.errors import InvalidRequest

# No float holds more; what is not a number is not below it either.
MOST_SECONDS = sys.float_info.max
_PART = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?P<unit>[^0-9.]*)")
# What Go calls the types of JSON that are neither a number nor a text.
_GO_TYPES = {bool: "bool", list: "[]interface {}", dict: "map[string]interface {}"}


def keep_alive_seconds(value: Any) -> float | None:
    """Seconds; negative for ever, ``None`` where nothing was said."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return _parsed(value)
    if type(value) in _GO_TYPES:
        raise _refused(f"Unsupported type: '{_GO_TYPES[type(value)]}'")
    if not abs(value) <= MOST_SECONDS:
        raise _refused("keep_alive must be a number of seconds that is not endless, or as 5m")
    return FOREVER if value < 0 else float(value)


def _parsed(value: str) -> float:
    digits = value[1:] if value[:1] in "+-" else value
    # The one number that Go takes without a unit.
    seconds = 0.0 if digits == "0" else _sum_of_parts(digits, value)
    if not math.isfinite(seconds):
        raise _refused(f'time: invalid duration "{value}"')
    return FOREVER if seconds and value.startswith("-") else seconds


def _sum_of_parts(digits: str, value: str) -> float:
    """The seconds of ``digits``, which is ``value`` without its sign."""
    parts = list(_PART.finditer(digits))
    if not parts or "".join(part[0] for part in parts) != digits:
        raise _refused(f'time: invalid duration "{value}"')
    for part in parts:
        if not part["unit"]:
            raise _refused(f'time: missing unit in duration "{value}"')
        if part["unit"] not in UNITS:
            raise _refused(f'time: unknown unit "{part["unit"]}" in duration "{value}"')
    return sum(float(part["number"]) * UNITS[part["unit"]] for part in parts)


def _refused(text: str) -> InvalidRequest:
    return InvalidRequest(text, param="keep_alive")
