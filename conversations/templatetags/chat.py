"""What the chat's templates need beyond Django's own: Markdown, and figures in words."""

from __future__ import annotations

from django import template
from django.utils.safestring import SafeString, mark_safe

from conversations.markdown import render_blocks
from conversations.models import Message

register = template.Library()

ENDINGS = {
    Message.Status.STOPPED: "stopped",
    Message.Status.INTERRUPTED: "interrupted",
    Message.Status.FAILED: "failed",
}


@register.filter
def markdown_blocks(text: str) -> list[SafeString]:
    """The blocks of ``text`` as HTML. Safe, for the renderer has sanitised it."""
    return [mark_safe(html) for html in render_blocks(text)]  # noqa: S308


@register.filter
def figures(message: Message) -> list[str]:
    """How an answer went: tokens, speed, time, and why it ended."""
    rate = message.tokens_per_second
    length = "length limit reached" if message.finish_reason == "length" else "complete"
    found = [
        f"{message.completion_tokens:,} tokens" if message.completion_tokens else "",
        f"{rate:.1f} tok/s" if rate else "",
        f"{message.total_ns / 1e9:.1f} s" if message.total_ns else "",
        ENDINGS.get(Message.Status(message.status), length),
    ]
    return [figure for figure in found if figure]


@register.filter
def thought_for(message: Message) -> str:
    """How long the model thought, in words."""
    if message.is_streaming:
        return "Thinking…"
    return f"Thought for {max(1, round(message.thinking_ns / 1e9))} s"


@register.filter
def short_name(model: str) -> str:
    """A model's name without its owner."""
    return model.rpartition("/")[2]
