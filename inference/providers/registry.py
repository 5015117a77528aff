"""All providers, by the name that aliases and conversations store."""

from __future__ import annotations

from functools import cache

from django.utils.module_loading import import_string

from inference.errors import NotFound
from inference.providers.base import Provider

PROVIDERS = {
    "huggingface": "inference.providers.huggingface.HuggingFaceProvider",
}


@cache
def get_provider(name: str) -> Provider:
    """The provider called ``name``; ``NotFound`` if there is none."""
    try:
        return import_string(PROVIDERS[name])()
    except KeyError as error:
        raise NotFound(f"There is no provider '{name}'. Known: {', '.join(PROVIDERS)}.") from error
