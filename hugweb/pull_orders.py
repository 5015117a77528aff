"""From what people write after ``pull`` to what is to be done.

Knows nothing of commands, of dialects and of how a pull is shown.
"""

from __future__ import annotations

from aliases.selectors import alias_find
from hugweb.starter import ALIAS, MODEL, starter_pull
from inference.errors import NotFound
from inference.store.hub import hub_pull
from inference.store.names import model_name_check
from inference.store.pull import PullOrder
from inference.store.services import Taken
from inference.store.watch import Watch

STARTER = "starter"


def pull_order(source: str) -> PullOrder:
    """``starter``, an alias or ``org/name[@revision]``, as an order.

    ``InvalidRequest`` for what can be no name, ``NotFound`` for a name that can be no model's.
    """
    alias = alias_find(source)
    name, _, revision = (alias.model if alias else source).partition("@")
    if name.lower() in {STARTER, ALIAS, MODEL.lower()} and not revision:
        return PullOrder(MODEL, starter_pull)
    if "/" not in name:
        raise NotFound(f"The Hub has no model '{name}'. Write its name as org/name.")
    model_name_check(name)

    def work(watch: Watch) -> Taken:
        return hub_pull(name=name, revision=revision or None, watch=watch)

    return PullOrder(f"{name}@{revision}" if revision else name, work)
