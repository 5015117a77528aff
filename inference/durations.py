"""Durations as people and Go write them. Standard library only."""

from __future__ import annotations

import re

FOREVER = -1.0
UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(rf"([0-9]+(?:\.[0-9]+)?)({'|'.join(UNITS)})")


def duration(value: str) -> float:
    """seconds, or a duration as in 5m, 1h30m, 300ms; negative means for ever"""
    try:
        seconds = float(value)
    except ValueError:
        seconds = _sum_of_units(value)
    if seconds != seconds or seconds == float("inf"):
        raise ValueError
    return FOREVER if seconds < 0 else seconds


def _sum_of_units(value: str) -> float:
    digits = value.removeprefix("-")
    parts = _PART.findall(digits)
    if not parts or "".join(number + unit for number, unit in parts) != digits:
        raise ValueError
    if digits != value:
        return FOREVER
    return sum(float(number) * UNITS[unit] for number, unit in parts)
