"""One pull, whoever else pulls the same model: does the work, or follows the one who does.

Runs in the caller's thread. Everybody who asks runs one; the lease makes them one download. When
the one who works gives up or dies, the next one goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings

from inference.errors import InferenceError, from_code
from inference.store.errors import PullStopped
from inference.store.lease import Lease
from inference.store.progress import Pulled, PullFailed, PullState
from inference.store.services import Taken
from inference.store.watch import Watch

FOLLOW_SECONDS = 0.2

Show = Callable[[PullState], object]


@dataclass(frozen=True)
class PullOrder:
    """What is to be pulled: ``key`` is the same for the same thing, ``work`` does it."""

    key: str
    work: Callable[[Watch], Taken]


def pull_run(order: PullOrder, show: Show, stop: threading.Event) -> None:
    """Pull, and tell ``show`` every state; the last is ``Pulled`` or ``PullFailed``.

    Ends early, with ``PullStopped`` as its failure, when ``stop`` is set. Raises ``InferenceError``
    where the home cannot be written; errors of the work that are not of the tree are shown as an
    internal one and raised.
    """
    with contextlib.closing(Lease(settings.HOME / "pulls", order.key)) as lease:
        while not stop.is_set():
            with lease.held() as held:
                if held:
                    _work(order, lease, show, stop)
                    return
            if heard := lease.heard():
                show(heard.progress)
                if heard.ending:
                    show(heard.ending)
                    return
            stop.wait(FOLLOW_SECONDS)
    show(_failure(PullStopped()))


def pull_wait(order: PullOrder, show: Show) -> Pulled:
    """Pull, and return how it ended; its error is raised, as is whatever interrupts the work."""
    states: list[PullState] = []

    def keep(state: PullState) -> None:
        states[:] = [state]
        show(state)

    pull_run(order, keep, threading.Event())
    match states:
        case [Pulled() as pulled]:
            return pulled
        case [PullFailed(code=code, message=message)]:
            raise from_code(code, message)
    raise InferenceError


def pulled_of(taken: Taken) -> Pulled:
    """What there is to say of a model that was taken in."""
    return Pulled(taken.record.name, taken.kind.label, taken.kind.runs, taken.left_out)


def _work(order: PullOrder, lease: Lease, show: Show, stop: threading.Event) -> None:
    def tell(state: PullState) -> None:
        lease.say(state)
        show(state)

    try:
        with Watch(tell, stop) as watch:
            taken = order.work(watch)
    except PullStopped as error:
        # Not said to the others: one of them goes on.
        show(_failure(error))
    except InferenceError as error:
        tell(_failure(error))
    except Exception:
        tell(_failure(InferenceError()))
        raise
    else:
        tell(pulled_of(taken))


def _failure(error: InferenceError) -> PullFailed:
    return PullFailed(error.code, error.message)
