"""What is read of keys."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db.models import QuerySet

from inference.errors import NotFound, Unauthorized
from inference.keys.models import ApiKey
from inference.keys.secrets import token_matches, token_prefix

UNKNOWN = "This API key is not known. Check it, or make another with `manage.py apikey create`."
# Compared with where there is no row, so that an unknown prefix takes as long as a wrong secret.
_NO_DIGEST = "0" * 64


def key_authenticate(token: str) -> ApiKey:
    """The key that ``token`` is, with its owner; ``Unauthorized`` for one that opens nothing."""
    key = ApiKey.objects.select_related("user").filter(prefix=token_prefix(token)).first()
    if not token_matches(token, key.digest if key else _NO_DIGEST) or key is None:
        raise Unauthorized(UNKNOWN)
    if key.state != "active":
        raise Unauthorized(f"This API key opens nothing any more: {key.state}.")
    return key


def key_list(*, user: User | None = None) -> QuerySet[ApiKey]:
    """All keys, or those of ``user``, the newest first."""
    keys = ApiKey.objects.select_related("user")
    return keys.filter(user=user) if user else keys


def key_get(prefix: str) -> ApiKey:
    """The key that begins with ``prefix``, with or without its ``hw_``."""
    key = key_list().filter(prefix=prefix.removeprefix("hw_")[:8]).first()
    if key is None:
        raise NotFound(f"There is no key hw_{prefix.removeprefix('hw_')[:8]}. `apikey list` shows all.")
    return key
