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

    class Quantization(models.TextChoices):
        NONE = "none", "as the model is"
        INT8 = "int8", "8-bit"
        INT4 = "int4", "4-bit"

    name = models.CharField(
        max_length=80,
        validators=[RegexValidator(r"\A[A-Za-z0-9_][A-Za-z0-9_.-]*\Z", "Letters, digits, '_', '-' and '.'.")],
    )
    provider = models.CharField(max_length=32, default="huggingface")
    model = models.CharField(max_length=200, help_text="An id as the provider knows it: org/name.")
    description = models.CharField(max_length=200, blank=True)
    system = models.TextField(blank=True, help_text="System prompt, unless the request brings one.")
    options = models.JSONField(default=dict, blank=True, validators=[validate_options])
    quantization = models.CharField(
        max_length=8, choices=Quantization, default=Quantization.NONE, help_text="How the weights are loaded."
    )
    created = models.DateTimeField(auto_now_add=True)
    modified = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "aliases"
        ordering = ("name",)
        constraints = (models.UniqueConstraint(Lower("name"), name="alias_name_unique"),)

    def __str__(self) -> str:
        return self.name
