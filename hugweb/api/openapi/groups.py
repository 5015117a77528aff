"""The APIs that the description has chapters of, and what all endpoints of a dialect share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hugweb.api.anthropic import answers as anthropic
from hugweb.api.described import JSON, TEXT, Contents
from hugweb.api.ollama import answers as ollama
from hugweb.api.openai import answers as openai
from hugweb.api.openapi.failures import Failure
from hugweb.api.shape import Dialect


@dataclass(frozen=True)
class Group:
    """A chapter: the views of one package. ``absent`` are values of a field that count as not given.

    Of two with one name, the first says what it is ``about``.
    """

    name: str
    package: str
    about: str
    absent: tuple[Any, ...] = (None,)


GROUPS = (
    Group(
        "Ollama",
        "hugweb.api.ollama",
        "Ollama's native API. The content type of a request does not matter; fields and options that are not"
        " known are ignored, and null and the empty string mean that a field was not given.",
        absent=(None, ""),
    ),
    Group("OpenAI", "hugweb.api.openai", "OpenAI's API. Fields that are not known are ignored."),
    Group("Anthropic", "hugweb.api.anthropic", "Anthropic's Messages API."),
    Group("Extras", "hugweb.api.extras", "What is missed in those: tokens, and ranks of documents."),
    Group("Chat", "hugweb.api.streaming", "Conversations as the chat page has them."),
    Group("Chat", "conversations.uploads", ""),
    Group("GraphQL", "hugweb.api.graphql", "Models and conversations, as a client asks for them."),
    Group("Health", "hugweb.health", "Whether everything is well, and figures for Prometheus."),
    Group("Ollama", "hugweb.fallback", ""),
    Group("Description", "hugweb.api.rest.docs", "This description."),
)

# How each dialect writes an error, and where its clients put their key. Anything else is a page.
FAILURES: dict[Dialect | None, Contents] = {
    "ollama": {JSON: ollama.Failure},
    "openai": {JSON: openai.Failure},
    "anthropic": {JSON: anthropic.Failure},
    "rest": {JSON: Failure},
    None: {JSON: ollama.Failure, TEXT: str, "text/html": str},
}
KEYS: dict[Dialect | None, tuple[str, ...]] = {
    "ollama": ("key",),
    "openai": ("key", "api-key"),
    "anthropic": ("key", "x-api-key"),
    "rest": ("key", "x-api-key", "session"),
    None: ("session",),
}


def group_of(view: Callable[..., Any]) -> Group:
    """The chapter that ``view`` belongs to."""
    return next(group for group in GROUPS if view.__module__.startswith(group.package))
