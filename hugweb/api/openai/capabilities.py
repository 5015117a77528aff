"""What a request asks of a model, refused before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterable

from asgiref.sync import sync_to_async

from aliases.selectors import Target, alias_resolve
from inference.errors import InvalidRequest, Unsupported
from inference.protocol import Message


async def resolve(model: str, capability: str, doing: str) -> Target:
    """The target of ``model``, which has ``capability``; ``doing`` says what for, as in "chat"."""
    if not model:
        raise InvalidRequest("model is required", param="model")
    target = await sync_to_async(alias_resolve)(model)
    require(target, capability, doing, "model")
    return target


def require(target: Target, capability: str, doing: str, param: str) -> None:
    """Raise ``Unsupported`` unless ``target`` has ``capability``."""
    if capability not in target.record.capabilities:
        raise Unsupported(f'"{target.model.name}" does not support {doing}', param=param)


def check_files(target: Target, messages: Iterable[Message], param: str) -> None:
    """Raise ``Unsupported`` for files that ``target`` can neither see nor hear."""
    for message in messages:
        if message.images:
            require(target, "vision", "images", param)
        if message.audios:
            require(target, "audio", "audio", param)
