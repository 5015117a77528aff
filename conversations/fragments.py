"""Pieces of the page that the socket sends, from the same templates that make the whole page."""

from __future__ import annotations

from django.template.loader import render_to_string

from conversations.models import Conversation, Message


def turn_html(question: Message, answer: Message) -> str:
    """A question and the answer to it."""
    return _render("conversations/_messages.html", {"messages_shown": [question, answer]})


def foot_html(answer: Message) -> str:
    """What stands below an answer that has ended."""
    return _render("conversations/_foot.html", {"message": answer})


def entry_html(conversation: Conversation) -> str:
    """A conversation in the list, as the one that is open."""
    return _render("conversations/_entry.html", {"entry": conversation, "conversation": conversation})


def _render(template: str, context: dict[str, object]) -> str:
    # msgspec encodes a str, and no subclass of it: Django's says that it is safe.
    return str.__str__(render_to_string(template, context))
