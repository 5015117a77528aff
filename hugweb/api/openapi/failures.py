"""How our own API writes an error, for the routes of its dialect that DRF knows nothing of."""

from __future__ import annotations

from typing import TypedDict


class Problem(TypedDict):
    code: str
    message: str
    param: str | None


class Failure(TypedDict):
    error: Problem
