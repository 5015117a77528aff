"""Logging in with a name and a password, which can be guessed only so often."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError

from inference.errors import RateLimited
from inference.keys.limits import RateLimits

# Of one name from one address; and, for who has many names or many addresses to try, of each.
OF_BOTH, OF_ONE = 10, 60
ATTEMPTS = RateLimits()


class LogInForm(AuthenticationForm):
    """Django's form; beyond the limits no password is looked at, right or wrong."""

    error_messages = {
        **AuthenticationForm.error_messages,
        "invalid_login": "That user name and password do not match. Please try again.",
    }

    def clean(self) -> dict[str, Any]:
        name = str(self.cleaned_data.get("username", "")).lower()
        address = self.request.META.get("REMOTE_ADDR", "") if self.request else ""
        try:
            # First, so that one address has no bucket for each name that it can think of.
            ATTEMPTS.take(("address", address), OF_ONE)
            ATTEMPTS.take((name, address), OF_BOTH)
            ATTEMPTS.take(("name", name), OF_ONE)
        except RateLimited as error:
            raise ValidationError(f"Too many attempts. Try again in {error.wait} s.") from error
        return super().clean()
