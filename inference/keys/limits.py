"""How often each key may ask: a bucket that fills evenly, and holds a minute's requests at most.

In this process's memory: a restart fills every bucket.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from inference.errors import RateLimited


class RateLimits:
    """The buckets, by key; ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[int, tuple[float, float]] = {}

    def take(self, key: int, per_minute: int) -> None:
        """One request out of the bucket of ``key``; ``RateLimited`` when it is empty."""
        now = self._clock()
        left, since = self._buckets.get(key, (float(per_minute), now))
        left = min(per_minute, left + (now - since) * per_minute / 60)
        if left < 1:
            raise RateLimited.after((1 - left) * 60 / per_minute)
        self._buckets[key] = (left - 1, now)


LIMITS = RateLimits()
