"""Public names for models."""

from __future__ import annotations

import msgspec
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Lower

from inference.protocol import Message, Options

_PART = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}"


def validate_options(value: object) -> None:
    """Refuse what ``Options`` would refuse."""
    try:
        msgspec.convert(value, Options)
    except msgspec.ValidationError as error:
        raise ValidationError(str(error)) from error


def validate_messages(value: object) -> None:
    """Refuse what is no list of messages."""
    try:
        msgspec.convert(value, list[Message])
    except msgspec.ValidationError as error:
        raise ValidationError(str(error)) from error


class Alias(models.Model):
    """A public name for a model of a provider, with its own defaults.

    ``name`` follows Ollama's rules, ``[namespace/]model[:tag]`` without the tag ``latest``, and is
    unique regardless of case. ``options`` are defaults; a request's own options win.
    """

    class Quantization(models.TextChoices):
        NONE = "none", "as the model is"
        INT8 = "int8", "8-bit"
        INT4 = "int4", "4-bit"

    name = models.CharField(
        max_length=242,
        validators=[
            RegexValidator(
                rf"\A(?:{_PART}/)?{_PART}(?::{_PART})?\Z",
                "Letters, digits, '_', '-' and '.', with an optional namespace/ before and :tag after.",
            )
        ],
    )
    provider = models.CharField(max_length=32, default="huggingface")
    model = models.CharField(max_length=200, help_text="An id as the provider knows it: org/name.")
    description = models.CharField(max_length=200, blank=True)
    system = models.TextField(blank=True, help_text="System prompt, unless the request brings one.")
    messages = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_messages],
        help_text="Messages that stand before those of every chat: role and content of each.",
    )
    options = models.JSONField(default=dict, blank=True, validators=[validate_options])
    quantization = models.CharField(
        max_length=8, choices=Quantization, default=Quantization.NONE, help_text="How the weights are loaded."
    )
    license = models.TextField(blank=True)
    created = models.DateTimeField(auto_now_add=True)
    modified = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "aliases"
        ordering = ("name",)
        constraints = (models.UniqueConstraint(Lower("name"), name="alias_name_unique"),)

    def __str__(self) -> str:
        return self.name
