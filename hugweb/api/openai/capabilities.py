"""What a request asks of a model, refused before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterable

from aliases.target import Target
from hugweb.api import asking
from inference.errors import Unsupported
from inference.protocol import Message


async def resolve(model: str, capability: str, doing: str) -> Target:
    """The target of ``model``, which has ``capability``; ``doing`` says what for, as in "chat"."""
    target = await asking.resolve(model)
    require(target, capability, doing, "model")
    return target


def require(target: Target, capability: str, doing: str, param: str) -> None:
    """Raise ``Unsupported`` unless ``target`` has ``capability``."""
    if capability not in target.capabilities:
        raise Unsupported(f'"{target.model.name}" does not support {doing}', param=param)


def check_files(target: Target, messages: Iterable[Message], param: str) -> None:
    """Raise ``Unsupported`` for files that ``target`` can neither see nor hear."""
    for message in messages:
        if message.images and not target.takes_pictures:
            require(target, "vision", "images", param)
        if message.audios:
            require(target, "audio", "audio", param)
