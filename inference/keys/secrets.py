"""What a key looks like, and what is kept of it.

``hw_PREFIX_SECRET``: the prefix finds the row, the secret is 256 random bits. A secret of that
length cannot be guessed, so one round of a keyed hash (HMAC-SHA-256 under this home's secret key)
is enough; slow hashes are for passwords, and would cost each request their time.
"""

from __future__ import annotations

import re
import secrets
import string

from django.utils.crypto import constant_time_compare, salted_hmac

PREFIX_LENGTH = 8
SECRET_LENGTH = 43
_ALPHABET = string.ascii_letters + string.digits
_TOKEN = re.compile(rf"hw_([A-Za-z0-9]{{{PREFIX_LENGTH}}})_([A-Za-z0-9]{{{SECRET_LENGTH}}})")


def token_make() -> str:
    """A new key."""
    return f"hw_{_random(PREFIX_LENGTH)}_{_random(SECRET_LENGTH)}"


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def token_prefix(token: str) -> str | None:
    """The part of ``token`` that finds its row; None if it is none of our keys."""
    match = _TOKEN.fullmatch(token)
    return match[1] if match else None


def token_digest(token: str) -> str:
    """What is kept of ``token``."""
    return salted_hmac("inference.keys", token, algorithm="sha256").hexdigest()


def token_matches(token: str, digest: str) -> bool:
    """Whether ``digest`` is that of ``token``, in a time that tells nothing."""
    return constant_time_compare(token_digest(token), digest)
