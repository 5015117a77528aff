"""The first user, and logging in: by an address that works once, or by name and password.

A server that only this machine can reach needs no password to begin with: whoever can read what it
prints may log in as its owner. Knows nothing of what logged-in users do.
"""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_decode, urlsafe_base64_encode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

NAME = "owner"
BACKEND = "django.contrib.auth.backends.ModelBackend"
USED_UP = (
    "This address has been used, or is too old. Restart the server for a new one, or set a password"
    f" with: manage.py changepassword {NAME}"
)


class LoginTokens(PasswordResetTokenGenerator):
    """Tokens that end with the next log-in of their user, by whatever way."""

    key_salt = "hugweb.owner.LoginTokens"

    def _make_hash_value(self, user: User, timestamp: int) -> str:
        # Django's cuts the last log-in to seconds: two log-ins within one would share a token.
        last_login = user.last_login.isoformat() if user.last_login else ""
        return f"{user.pk} {user.password} {last_login} {timestamp}"


TOKENS = LoginTokens()


def first_owner() -> User | None:
    """The first active superuser, made if there is no user at all."""
    if not User.objects.exists():
        User.objects.create_superuser(NAME)
    return User.objects.filter(is_superuser=True, is_active=True).order_by("pk").first()


def login_address(user: User, base_url: str) -> str:
    """An address that logs ``user`` in once."""
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    return base_url + reverse("login-once", args=[uid, TOKENS.make_token(user)])


@never_cache
@require_GET
def log_in_once(request: HttpRequest, uid: str, token: str) -> HttpResponse:
    """Log in whom the address was made for."""
    user = _user_of(uid)
    if user is None or not user.is_active or not TOKENS.check_token(user, token) or not _claim(user):
        messages.error(request, USED_UP)
        return redirect("login")
    login(request, user, backend=BACKEND)
    return redirect("chat")


def _user_of(uid: str) -> User | None:
    try:
        return User.objects.filter(pk=urlsafe_base64_decode(uid).decode()).first()
    except ValueError:
        return None


def _claim(user: User) -> bool:
    """Use the token up: of two requests at the same time, one changes the row."""
    unchanged = User.objects.filter(pk=user.pk, last_login=user.last_login)
    return unchanged.update(last_login=timezone.now()) == 1
