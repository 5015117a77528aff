"""One question, one answer: for endpoints that never stream."""

from __future__ import annotations

from aliases.answering import events_of
from aliases.lookup import look_up
from aliases.target import Target
from hugweb.api.generation import Folded, begin, fold
from inference.errors import InvalidRequest
from inference.protocol import Request


async def resolve(model: str) -> Target:
    """The target of ``model``, which has to be given."""
    if not model:
        raise InvalidRequest("model is required", param="model")
    return await look_up(model)


async def ask(target: Target, request: Request) -> Folded:
    """All of the answer to ``request``."""
    return await fold(await begin(events_of(target, request)))
