"""What a request asks of a model beyond text, refused before anything is loaded. Texts are Ollama's."""

from __future__ import annotations

from aliases.names import full_name
from aliases.target import Target
from hugweb.api.ollama.requests import ChatBody, GenerateBody, GenerationBody
from inference.errors import Unsupported


def check_chat(body: ChatBody, target: Target) -> None:
    """Raise ``Unsupported`` for what ``target`` cannot do."""
    _check(body, target, "chat")
    # Another template may have a place for them, which the engine sees.
    if body.tools and not body.template and "tools" not in target.capabilities:
        raise Unsupported(f"{_qualified(target)} does not support tools")
    if any(message.images for message in body.messages):
        _check_images(target)


def check_generate(body: GenerateBody, target: Target) -> None:
    """Raise ``Unsupported`` for what ``target`` cannot do."""
    _check(body, target, "generate")
    if body.suffix and "insert" not in target.capabilities:
        raise Unsupported(f"{_qualified(target)} does not support insert")
    if body.images:
        _check_images(target)


def check_draw(body: GenerateBody, target: Target) -> None:
    """Raise ``Unsupported`` for what an image model cannot do."""
    if body.raw or body.suffix or body.context or body.format or body.think or body.logprobs:
        raise Unsupported(
            f'"{target.model.name}" draws; it has no raw, suffix, context, format, think and logprobs'
        )


def _check(body: GenerationBody, target: Target, task: str) -> None:
    if "completion" not in target.capabilities:
        raise Unsupported(f'"{target.model.name}" does not support {task}')
    if body.think and "thinking" not in target.capabilities:
        raise Unsupported(f'"{target.model.name}" does not support thinking')


def _check_images(target: Target) -> None:
    if not target.takes_pictures:
        raise Unsupported(f'"{target.model.name}" does not support images')


def _qualified(target: Target) -> str:
    """The model's full name, as Ollama writes it in these texts."""
    name = target.model.name
    namespaced = name if "/" in name else f"library/{name}"
    return f"registry.ollama.ai/{full_name(namespaced)}"
