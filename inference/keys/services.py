"""What is written of keys: making, revoking, noting that one was used."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from inference.errors import InvalidRequest
from inference.keys.models import ApiKey, Scope
from inference.keys.secrets import token_digest, token_make, token_prefix

USED_EVERY = timedelta(minutes=1)
DEFAULT_SCOPES = (Scope.GENERATE, Scope.READ)


def key_create(
    *,
    user: User,
    name: str,
    scopes: Sequence[str] = DEFAULT_SCOPES,
    allowed_models: Sequence[str] = (),
    requests_per_minute: int | None = None,
    tokens_per_day: int | None = None,
    bytes_per_request: int | None = None,
    expires: datetime | None = None,
) -> tuple[ApiKey, str]:
    """A new key and its token, which is nowhere but in this answer."""
    key = ApiKey(
        user=user,
        name=name,
        scopes=[str(scope) for scope in scopes],
        allowed_models=list(allowed_models),
        requests_per_minute=requests_per_minute,
        tokens_per_day=tokens_per_day,
        bytes_per_request=bytes_per_request,
        expires=expires,
    )
    token = key_seal(key)
    try:
        key.full_clean()
    except ValidationError as error:
        raise InvalidRequest(" ".join(error.messages)) from error
    try:
        with transaction.atomic():
            key.save()
    except IntegrityError as error:
        raise InvalidRequest("This user has a key of that name.", param="name") from error
    return key, token


def key_seal(key: ApiKey) -> str:
    """Give ``key``, which is not stored yet, a new token; the token."""
    if Scope.MANAGE in key.scopes and not key.user.is_staff:
        raise InvalidRequest("Only the key of somebody with staff status can manage models.")
    token = token_make()
    key.prefix, key.digest = token_prefix(token) or "", token_digest(token)
    return token


def key_revoke(*, key: ApiKey) -> None:
    """Let ``key`` open nothing from now on. Its row stays, for the usage that it has."""
    ApiKey.objects.filter(pk=key.pk, revoked=None).update(revoked=timezone.now())


def key_touch(*, key: ApiKey) -> None:
    """Note that ``key`` is used, with one write a minute at most."""
    now = timezone.now()
    if key.last_used is None or key.last_used < now - USED_EVERY:
        ApiKey.objects.filter(pk=key.pk).update(last_used=now)
