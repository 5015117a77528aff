"""Public names for models."""

from __future__ import annotations

import msgspec
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Lower

from inference.protocol import Options


def validate_options(value: object) -> None:
    """Refuse what ``Options`` would refuse."""
    try:
        msgspec.convert(value, Options)
    except msgspec.ValidationError as error:
        raise ValidationError(str(error)) from error


class Alias(models.Model):
    """A public name for a model of a provider, with its own defaults.

    ``name`` follows Ollama's rules for a model name without a tag and is unique regardless of
    case. ``options`` are defaults; a request's own options win.
    """

    name = models.CharField(
        max_length=80,
        validators=[RegexValidator(r"\A[A-Za-z0-9_][A-Za-z0-9_.-]*\Z", "Letters, digits, '_', '-' and '.'.")],
    )
    provider = models.CharField(max_length=32, default="huggingface")
    model = models.CharField(max_length=200, help_text="An id as the provider knows it: org/name.")
    description = models.CharField(max_length=200, blank=True)
    system = models.TextField(blank=True, help_text="System prompt, unless the request brings one.")
    options = models.JSONField(default=dict, blank=True, validators=[validate_options])
    created = models.DateTimeField(auto_now_add=True)
    modified = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "aliases"
        ordering = ("name",)
        constraints = (models.UniqueConstraint(Lower("name"), name="alias_name_unique"),)

    def __str__(self) -> str:
        return self.name
