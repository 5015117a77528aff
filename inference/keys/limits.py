"""How often a key, or whoever else, may ask: buckets that fill evenly and hold a minute's requests.

In this process's memory: a restart fills every bucket. So does being left alone for a minute, after
which a bucket is forgotten.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

from inference.errors import RateLimited

MOST_BUCKETS = 10_000


class RateLimits:
    """The buckets, by key; ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[Hashable, tuple[float, float]] = {}

    def take(self, key: Hashable, per_minute: int) -> None:
        """One request out of the bucket of ``key``; ``RateLimited`` when it is empty."""
        now = self._clock()
        if len(self._buckets) >= MOST_BUCKETS:
            self._forget(now)
        left, since = self._buckets.get(key, (float(per_minute), now))
        left = min(per_minute, left + (now - since) * per_minute / 60)
        if left < 1:
            raise RateLimited.after((1 - left) * 60 / per_minute)
        self._buckets[key] = (left - 1, now)

    def _forget(self, now: float) -> None:
        """Let go of buckets that are full again; of all, if every one is in use."""
        used = {key: bucket for key, bucket in self._buckets.items() if now - bucket[1] < 60}
        self._buckets = used if len(used) < MOST_BUCKETS else {}


LIMITS = RateLimits()
