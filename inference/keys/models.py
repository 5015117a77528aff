"""Keys that open the API to programs."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone

from inference.store.names import LONGEST_NAME

MAX_MODELS = 200
MOST_TOKENS = 10**12
MOST_BYTES = 2**44


class Scope(models.TextChoices):
    """What a key may be used for."""

    GENERATE = "generate", "ask models"
    READ = "read", "list and describe models"
    MANAGE = "manage", "pull, create, copy and delete models"


def validate_scopes(value: object) -> None:
    """A list of one scope at least."""
    if not isinstance(value, list) or not value or not set(map(str, value)) <= set(Scope.values):
        raise ValidationError(f"A key needs one at least of: {', '.join(Scope.values)}.")


def validate_models(value: object) -> None:
    """A list of names."""
    if not isinstance(value, list) or len(value) > MAX_MODELS or not all(map(_is_name, value)):
        raise ValidationError(f"Models are a list of at most {MAX_MODELS} names.")


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_NAME


def key_label(name: str, prefix: str) -> str:
    """A key as it is shown: two of one name, of two people or one of them revoked, are told apart."""
    return f"{name} (hw_{prefix}…)"


class ApiKey(models.Model):
    """A key of one user. ``prefix`` finds it and may be shown; of its secret only a hash is kept.

    ``allowed_models`` are the names it may ask for, all if empty; ``requests_per_minute``,
    ``tokens_per_day``, of prompts and answers, and ``bytes_per_request``, of a body, are limited by the
    settings alone where they are empty. ``last_used`` is at most a minute behind.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=80, help_text="What the key is for.")
    prefix = models.CharField(max_length=16, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    scopes = models.JSONField(default=list, validators=[validate_scopes])
    allowed_models = models.JSONField(
        default=list, blank=True, validators=[validate_models], help_text="The only models; empty for all."
    )
    requests_per_minute = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(100_000)]
    )
    tokens_per_day = models.PositiveBigIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_TOKENS)],
        help_text="Of prompts and answers; a day is one in UTC.",
    )
    bytes_per_request = models.PositiveBigIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_BYTES)],
        help_text="The largest body that it may send, pictures and files included.",
    )
    created = models.DateTimeField(auto_now_add=True)
    expires = models.DateTimeField(null=True, blank=True)
    revoked = models.DateTimeField(null=True, blank=True, editable=False)
    last_used = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = "API key"
        ordering = ("-created",)
        constraints = (
            models.UniqueConstraint(
                fields=("user", "name"),
                condition=models.Q(revoked=None),
                name="key_name_unique",
                violation_error_message="This user has a key of that name.",
            ),
        )

    def __str__(self) -> str:
        return key_label(self.name, self.prefix)

    @property
    def state(self) -> str:
        """``active``, or why it opens nothing."""
        if self.revoked:
            return "revoked"
        if self.expires and self.expires <= timezone.now():
            return "expired"
        return "active" if self.user.is_active else "owner inactive"
