"""Who sends an API request, by the key that comes with it, and whether they may.

Where a key is not required, whatever does not look like one of ours is ignored: clients of OpenAI
and Anthropic cannot be told to send none, so they send a word of their own.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from channels.db import database_sync_to_async
from django.db import DatabaseError

from hugweb.api.scopes import scope_of
from hugweb.api.shape import Dialect, dialect_of
from hugweb.asgi_types import Scope
from inference.asker import Asker
from inference.errors import NO_DATABASE, Busy, Forbidden, QuotaUsed, TooLarge, Unauthorized
from inference.keys.limits import LIMITS
from inference.keys.models import ApiKey
from inference.keys.models import Scope as KeyScope
from inference.keys.secrets import token_prefix
from inference.keys.selectors import UNKNOWN, key_authenticate
from inference.keys.services import key_touch
from inference.usage.selectors import tokens_today

logger = logging.getLogger(__name__)

NO_KEY = (
    "The API needs a key on a network address: send `Authorization: Bearer …`."
    " `manage.py apikey create` makes one."
)
# Where Anthropic's and Azure's clients put their key, besides Authorization; both also ask `/v1/models`.
_HEADERS = {b"x-api-key", b"api-key"}
KEY_HEADERS = frozenset({b"authorization", *_HEADERS})
Headers = Iterable[tuple[bytes, bytes]]


async def admit(scope: Scope, dialect: Dialect, *, required: bool) -> Asker:
    """Who sends the request of ``scope``; raised is what keeps it out."""
    tokens = list(_tokens(scope["headers"], dialect))
    token = next(filter(token_prefix, tokens), None)
    if token is None:
        if required:
            raise Unauthorized(UNKNOWN if tokens else NO_KEY)
        return Asker(source=dialect)
    try:
        key = await database_sync_to_async(key_used)(token)
        _check_scope(key, scope)
        check_rate(key)
        check_size(key.bytes_per_request, _declared(scope))
        if key.tokens_per_day and scope["method"] == "POST":
            await database_sync_to_async(_check_tokens)(key, key.tokens_per_day)
    except DatabaseError as error:
        logger.exception("A key could not be looked up.")
        raise Busy(NO_DATABASE) from error
    allowed = tuple(name.lower() for name in key.allowed_models)
    return Asker(
        source=dialect, user=key.user_id, key=key.pk, models=allowed, most_bytes=key.bytes_per_request
    )


def key_used(token: str) -> ApiKey:
    """The key that ``token`` is, used now; ``Unauthorized``."""
    key = key_authenticate(token)
    try:
        key_touch(key=key)
    except DatabaseError:
        # Who else writes may hold the database for long; that is no reason to turn anybody away.
        logger.warning("It could not be noted that a key is used.", exc_info=True)
    return key


def check_rate(key: ApiKey) -> None:
    """Count a request of ``key``; ``RateLimited``."""
    if key.requests_per_minute:
        LIMITS.take(key.pk, key.requests_per_minute)


def check_size(most: int | None, size: int) -> None:
    """``TooLarge`` where a body of ``size`` bytes is more than a key may send."""
    if most is not None and size > most:
        raise TooLarge.of_key(most)


def _declared(scope: Scope) -> int:
    """The length of the body; 0 for one that says none, and is counted as it comes."""
    lengths = [value for name, value in scope["headers"] if name == b"content-length"]
    return int(lengths[0]) if lengths and lengths[0].isdigit() else 0


async def most_bytes(headers: Headers, path: str) -> int | None:
    """How long a body may be by the key in ``headers``, which is not counted as a use of it.

    None where there is no such limit, or nobody to ask: the request is looked at again when it is here.
    """
    dialect = dialect_of(path)
    token = next(filter(token_prefix, _tokens(headers, dialect)), None) if dialect else None
    if token is None:
        return None
    try:
        return (await database_sync_to_async(key_authenticate)(token)).bytes_per_request
    except (DatabaseError, Unauthorized):
        return None


def _check_tokens(key: ApiKey, most: int) -> None:
    """``QuotaUsed`` where the key's day is spent; what is being answered goes on."""
    if tokens_today(key=key.pk) >= most:
        raise QuotaUsed.of(most)


def _tokens(headers: Headers, dialect: Dialect) -> Iterator[str]:
    """Whatever a request brings as a key."""
    for name, value in headers:
        text = value.decode("latin-1").strip()
        if name == b"authorization":
            kind, _, token = text.partition(" ")
            if kind.lower() == "bearer":
                yield token.strip()
        elif dialect != "ollama" and name in _HEADERS:
            yield text


def _check_scope(key: ApiKey, scope: Scope) -> None:
    needed = scope_of(scope["method"], scope["path"])
    if needed and needed not in key.scopes:
        raise Forbidden(f"This key may not do that: it lacks the scope '{needed.value}'.")
    if needed == KeyScope.MANAGE and not key.user.is_staff:
        raise Forbidden("Only the key of somebody with staff status can manage models.")
