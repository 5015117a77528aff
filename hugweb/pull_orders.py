"""From what people write after ``pull`` to what is to be done.

Knows nothing of commands, of dialects and of how a pull is shown.
"""

from __future__ import annotations

from collections.abc import Callable

from aliases.names import DEFAULT_TAG
from aliases.selectors import alias_find
from hugweb.starter import ALIAS, MODEL, starter_pull
from inference.errors import NotFound
from inference.store.gguf import gguf_pull
from inference.store.hub import hub_pull
from inference.store.names import model_name_check
from inference.store.pull import PullOrder
from inference.store.services import Taken
from inference.store.watch import Watch

STARTER = "starter"
# How people copy names from the Hub's pages.
PREFIXES = ("https://", "huggingface.co/", "hf.co/")


def pull_order(source: str) -> PullOrder:
    """``starter``, an alias, ``org/name[@revision]`` or ``org/name:file.gguf``, as an order.

    ``InvalidRequest`` for what can be no name, ``NotFound`` for a name that can be no model's.
    """
    alias = alias_find(source)
    name, _, revision = _plain(alias.model if alias else source).partition("@")
    if name.lower() in {STARTER, ALIAS, MODEL.lower()} and not revision:
        return PullOrder(MODEL, starter_pull)
    if "/" not in name:
        raise NotFound(f"The Hub has no model '{name}'. Write its name as org/name.")
    model_name_check(name)
    return PullOrder(f"{name}@{revision}" if revision else name, _work(name, revision or None))


def _plain(source: str) -> str:
    for prefix in PREFIXES:
        source = source.removeprefix(prefix)
    return source.rstrip("/").removesuffix(f":{DEFAULT_TAG}")


def _work(name: str, revision: str | None) -> Callable[[Watch], Taken]:
    repository, _, file = name.partition(":")

    def work(watch: Watch) -> Taken:
        if file:
            return gguf_pull(name=repository, wanted=file, revision=revision, watch=watch)
        return hub_pull(name=repository, revision=revision, watch=watch)

    return work
