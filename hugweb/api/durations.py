"""Ollama's durations: seconds as a number, or Go's notation as a string."""

from __future__ import annotations

import math

from inference.durations import FOREVER, duration
from inference.errors import InvalidRequest

# How each of Go's units ends; without one, a number is none to Go.
UNITS = ("s", "m", "h")


def keep_alive_seconds(value: float | str | None) -> float | None:
    """Seconds; negative for ever, ``None`` where nothing was said. The error text is Go's."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return _parsed(value)
    if not math.isfinite(value):
        raise InvalidRequest("keep_alive must be a finite number of seconds or a duration such as 5m")
    return FOREVER if value < 0 else float(value)


def _parsed(value: str) -> float:
    if value.lstrip("+-") == "0":
        # The one number that Go takes without a unit.
        return 0.0
    if value.lstrip("-").replace(".", "", 1).isdigit():
        raise InvalidRequest(f'time: missing unit in duration "{value}"')
    if not value.endswith(UNITS):
        raise InvalidRequest(f'time: invalid duration "{value}"')
    try:
        return duration(value)
    except ValueError as error:
        raise InvalidRequest(f'time: invalid duration "{value}"') from error
