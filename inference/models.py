"""What is known of each model on this machine, and what is set of each provider."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Lower

from inference.store.names import LONGEST_NAME

HIGHEST_PRIORITY = 1000


class ModelRecord(models.Model):
    """A model that can be loaded: where it came from, where it lies, and what it is.

    Rows are written by ``inference.store`` when a model is taken in; ``name`` is an id as on the
    Hub, ``org/name``, unique regardless of case.
    """

    class Source(models.TextChoices):
        STORE = "store", "this machine's store"
        HUB = "hub", "the Hub's cache"

    provider = models.CharField(max_length=32, default="huggingface")
    name = models.CharField(max_length=LONGEST_NAME)
    source = models.CharField(max_length=8, choices=Source)
    revision = models.CharField(max_length=64, blank=True, help_text="Commit on the Hub.")
    folder = models.CharField(max_length=500, help_text="Relative to the store; absolute in the Hub's cache.")
    kind = models.CharField(max_length=32, blank=True, help_text="What it is for: text generation, vision, …")
    architecture = models.CharField(max_length=64, help_text="transformers' model_type.")
    capabilities = models.JSONField(default=list, help_text="As Ollama names them: completion, vision, …")
    parameters = models.PositiveBigIntegerField(default=0)
    dtype = models.CharField(max_length=16, blank=True)
    quantization = models.CharField(
        max_length=32, blank=True, help_text="How the files are quantized, as gptq 4-bit; empty where not."
    )
    license = models.CharField(max_length=64, blank=True, help_text="As the model card names it.")
    size = models.PositiveBigIntegerField(default=0, help_text="Bytes on disk.")
    digest = models.CharField(max_length=64, help_text="SHA-256 over the files, as hex.")
    context_length = models.PositiveIntegerField(default=0, help_text="Tokens; 0 where unknown.")
    embedding_length = models.PositiveIntegerField(default=0)
    memory = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="Bytes that it took when it was last loaded; empty before."
    )
    last_used = models.DateTimeField(null=True, blank=True)
    created = models.DateTimeField(auto_now_add=True)
    modified = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "model_metadata"
        ordering = ("-modified",)
        verbose_name = "model"
        constraints = (models.UniqueConstraint("provider", Lower("name"), name="model_name_unique"),)

    def __str__(self) -> str:
        return self.name

    @property
    def path(self) -> Path:
        """The folder that holds the model's files."""
        return Path(settings.MODELS_PATH, self.folder)


class ProviderConfig(models.Model):
    """What is set of one provider. One that has no row yet is enabled, with priority 0.

    The row of each provider is made by ``inference.providers.configs``.
    """

    name = models.CharField(max_length=32, unique=True, editable=False)
    enabled = models.BooleanField(
        default=True,
        help_text="A provider that is off takes no request. Answers that are being written are finished.",
    )
    priority = models.SmallIntegerField(
        default=0,
        validators=(MinValueValidator(-HIGHEST_PRIORITY), MaxValueValidator(HIGHEST_PRIORITY)),
        help_text="Where several providers have a model of the same name, the one with the highest answers.",
    )
    modified = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "provider_configs"
        ordering = ("-priority", "name")
        verbose_name = "provider"

    def __str__(self) -> str:
        return self.name
