"""From what people write after ``pull`` to what is to be done.

Knows nothing of commands, of dialects and of how a pull is shown.
"""

from __future__ import annotations

from hugweb.starter import ALIAS, MODEL, starter_pull
from inference.store.hub import hub_pull
from inference.store.names import model_name_check
from inference.store.pull import PullOrder
from inference.store.services import Taken
from inference.store.watch import Watch

STARTER = "starter"


def pull_order(source: str) -> PullOrder:
    """``starter`` or ``org/name[@revision]``, as an order; ``InvalidRequest`` for what is neither."""
    if source.lower() in {STARTER, ALIAS, MODEL.lower()}:
        return PullOrder(MODEL, starter_pull)
    name, _, revision = source.partition("@")
    model_name_check(name)

    def work(watch: Watch) -> Taken:
        return hub_pull(name=name, revision=revision or None, watch=watch)

    return PullOrder(source, work)
