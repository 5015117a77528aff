"""The vectors of an answer, as numbers. Slow for large answers: to be called in a thread."""

from __future__ import annotations

import math
import sys
from array import array

from inference.errors import InvalidRequest
from inference.protocol import Embedded


def vectors_read(embedded: Embedded) -> list[list[float]]:
    """One list of numbers for each text. ``InvalidRequest`` for numbers that JSON does not have."""
    numbers = array("f", embedded.vectors)
    if sys.byteorder == "big":
        numbers.byteswap()
    if not all(map(math.isfinite, numbers)):
        raise InvalidRequest("embedding contains NaN or Inf values")
    width = embedded.width
    return [numbers[start : start + width].tolist() for start in range(0, len(numbers), width or 1)]
