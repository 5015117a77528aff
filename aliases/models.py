"""Public names for models."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec
from django.conf import settings
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Lower

from aliases.templates import template_checked
from inference.durations import duration
from inference.errors import InvalidRequest
from inference.protocol import DEVICE, Message, Options
from inference.store.names import LONGEST_NAME

_PART = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}"
_NAME = re.compile(rf"\A(?:{_PART}/)?{_PART}(?::{_PART})?\Z")
NAME_HELP = "Letters, digits, '_', '-' and '.', with an optional namespace/ before and :tag after."
MAX_FALLBACKS = 8
DEVICE_HELP = "auto, cpu, mps, cuda, or cuda:1 for the second GPU; auto for what the settings say."


def options_read(stored: object) -> Options:
    """The options that a JSON object stores, whose keys are texts; ``msgspec.ValidationError``."""
    return msgspec.convert(stored, Options, str_keys=True)


def validate_options(value: object) -> None:
    """Refuse what ``Options`` would refuse."""
    try:
        options_read(value)
    except msgspec.ValidationError as error:
        raise ValidationError(str(error)) from error


def validate_messages(value: object) -> None:
    """Refuse what is no list of messages."""
    try:
        msgspec.convert(value, list[Message])
    except msgspec.ValidationError as error:
        raise ValidationError(str(error)) from error


def validate_keep_alive(value: str) -> None:
    """Refuse what is no duration."""
    try:
        duration(value)
    except ValueError as error:
        raise ValidationError("A duration such as 5m or 1h30m, or -1 for ever.") from error


def validate_template(value: str) -> None:
    """Refuse what is no chat template."""
    try:
        template_checked(value)
    except InvalidRequest as error:
        raise ValidationError(error.message) from error


def validate_fallbacks(value: object) -> None:
    """Refuse what is no short list of names."""
    if not isinstance(value, list) or len(value) > MAX_FALLBACKS or not all(map(_is_name, value)):
        raise ValidationError(f"At most {MAX_FALLBACKS} names of models or aliases.")


def _texts(value: object) -> Iterator[str]:
    """All texts in ``value``, which is JSON that was bounded in depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _texts([*value, *value.values()])
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


class Alias(models.Model):
    """A public name for a model of a provider, with its own defaults.

    ``name`` follows Ollama's rules, ``[namespace/]model[:tag]`` without the tag ``latest``, and is
    unique regardless of case. ``model`` may be the name of another alias, which this one then adds to,
    but not of one that names an alias itself. All that it says are defaults: a request's own wins.
    """

    class Visibility(models.TextChoices):
        EVERYONE = "everyone", "everyone"
        SOME = "some", "the users and groups below"

    class Quantization(models.TextChoices):
        NONE = "none", "as the model is"
        INT8 = "int8", "8-bit"
        INT4 = "int4", "4-bit"

    class Dtype(models.TextChoices):
        AUTO = "auto", "as the settings say"
        BFLOAT16 = "bfloat16", "bfloat16"
        FLOAT16 = "float16", "float16"
        FLOAT32 = "float32", "float32"

    name = models.CharField(
        max_length=LONGEST_NAME,
        validators=[RegexValidator(_NAME, NAME_HELP)],
        help_text="What people ask for.",
    )
    provider = models.CharField(max_length=32, default="huggingface")
    model = models.CharField(max_length=LONGEST_NAME, help_text="A model's id, org/name, or another alias.")
    revision = models.CharField(
        max_length=64,
        blank=True,
        help_text="Commit that the model has to be of; empty for whichever is here.",
    )
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
    dtype = models.CharField(
        "number format",
        max_length=8,
        choices=Dtype,
        default=Dtype.AUTO,
        help_text="Of weights that are not quantized. Fewer bits take less memory and are less exact.",
    )
    device = models.CharField(
        max_length=8, default="auto", validators=[RegexValidator(DEVICE, DEVICE_HELP)], help_text=DEVICE_HELP
    )
    template = models.TextField(
        "chat template",
        blank=True,
        validators=[validate_template],
        help_text="Jinja, in place of the model's own: it reads messages, tools and add_generation_prompt.",
    )
    json_mode = models.BooleanField("JSON mode", default=False, help_text="Every answer is valid JSON.")
    keep_alive = models.CharField(
        max_length=32,
        blank=True,
        validators=[validate_keep_alive],
        help_text="How long the model stays loaded, such as 5m; -1 for ever; empty for the server's default.",
    )
    fallbacks = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_fallbacks],
        help_text="What answers, in this order, where the model cannot.",
    )
    visibility = models.CharField(max_length=8, choices=Visibility, default=Visibility.EVERYONE)
    users = models.ManyToManyField(settings.AUTH_USER_MODEL, blank=True, related_name="+")
    groups = models.ManyToManyField(Group, blank=True, related_name="+")
    enabled = models.BooleanField(default=True)
    license = models.TextField(blank=True)
    created = models.DateTimeField(auto_now_add=True)
    modified = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "aliases"
        ordering = ("name",)
        constraints = (models.UniqueConstraint(Lower("name"), name="alias_name_unique"),)

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse chains of aliases, and so cycles; and NULs, which PostgreSQL cannot store."""
        written = [self.system, self.description, self.license, self.template, self.messages, self.options]
        if any("\x00" in text for text in _texts(written)):
            raise ValidationError("No text can hold the character NUL.")
        others = Alias.objects.exclude(pk=self.pk)
        named = others.filter(name__iexact=self.model).first()
        if self.model.lower() == self.name.lower():
            raise ValidationError({"model": "An alias cannot stand for itself."})
        if named and others.filter(name__iexact=named.model).exists():
            raise ValidationError(
                {"model": f"'{named.name}' names an alias itself: name '{named.model}' instead."}
            )
        if named and others.filter(model__iexact=self.name).exists():
            raise ValidationError({"model": "Another alias names this one, so it has to name a model."})
        self._check_name(others)

    def _check_name(self, others: models.QuerySet[Alias]) -> None:
        """Refuse a new name while ``others`` name this one by its old one."""
        old = Alias.objects.filter(pk=self.pk).values_list("name", flat=True).first()
        if old and old.lower() != self.name.lower():
            holders = sorted(others.filter(model__iexact=old).values_list("name", flat=True))
            if holders:
                raise ValidationError(
                    {"name": f"{old} is what {', '.join(holders)} stands for: it keeps its name."}
                )
