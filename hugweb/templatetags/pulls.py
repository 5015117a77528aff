"""How a pull reads on a page; the same words as in a terminal."""

from __future__ import annotations

from django import template

from hugweb.pull_display import STEPS, size_text, time_text

register = template.Library()


@register.filter
def size(value: float) -> str:
    """Bytes for people."""
    return size_text(value)


@register.filter
def clock(seconds: float) -> str:
    """A time for people."""
    return time_text(seconds)


@register.filter
def step(name: str) -> str:
    """What a pull does now, as a sentence."""
    return STEPS[name]
