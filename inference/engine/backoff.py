"""Loads that failed: after several in a row the next one waits, and everyone hears why."""

from __future__ import annotations

import math
import time
from collections.abc import Hashable
from dataclasses import dataclass

from inference.errors import InferenceError

FREE_TRIES = 3
FIRST_DELAY = 10.0
LONGEST_DELAY = 300.0


@dataclass
class Failure:
    """So many loads failed in a row, the last at ``at`` (monotonic seconds) with ``error``."""

    error: InferenceError
    count: int = 0
    at: float = 0.0

    @property
    def seconds_left(self) -> float:
        """Until the model is tried again."""
        if self.count < FREE_TRIES:
            return 0.0
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(self.count - FREE_TRIES, 8))
        return max(0.0, self.at + delay - time.monotonic())


class Backoff:
    """Remembers failures, each under a key, until a success."""

    def __init__(self) -> None:
        self._failures: dict[Hashable, Failure] = {}

    def check(self, key: Hashable) -> None:
        """Raise the last error of a model that is not tried again yet."""
        failure = self._failures.get(key)
        if failure and failure.seconds_left:
            raise type(failure.error)(
                f"{failure.error.message} That was {failure.count} times in a row; "
                f"the next try is in {math.ceil(failure.seconds_left)} s."
            )

    def failed(self, key: Hashable, error: InferenceError) -> None:
        """Count one more failure."""
        failure = self._failures.setdefault(key, Failure(error))
        failure.error, failure.count, failure.at = error, failure.count + 1, time.monotonic()

    def worked(self, key: Hashable) -> None:
        """Forget what went wrong before."""
        self._failures.pop(key, None)
