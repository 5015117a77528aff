"""What was asked and what it cost: one row a generation, and sums of them by day."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from inference.keys.models import ApiKey
from inference.store.names import LONGEST_NAME


class Asked(models.Model):
    """What both tables group by: who asked which model through what.

    ``model`` is the model's own name, ``alias`` the name it was asked by where that is another.
    """

    provider = models.CharField(max_length=32)
    model = models.CharField(max_length=LONGEST_NAME)
    alias = models.CharField(max_length=LONGEST_NAME, blank=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    key = models.ForeignKey(ApiKey, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    source = models.CharField(max_length=16, help_text="The API, page or command that asked.")
    prompt_tokens = models.PositiveBigIntegerField(default=0)
    cached_tokens = models.PositiveBigIntegerField(default=0, help_text="Of the prompt, known before.")
    completion_tokens = models.PositiveBigIntegerField(default=0)
    duration_ns = models.PositiveBigIntegerField(default=0)

    class Meta:
        abstract = True


class UsageRecord(Asked):
    """One generation, however it ended. ``code`` is the error's, as in ``inference.errors``.

    Of an answer that did not end by itself, ``completion_tokens`` are those that were passed on.
    """

    class Outcome(models.TextChoices):
        DONE = "done"
        CANCELLED = "cancelled"
        FAILED = "failed"

    created = models.DateTimeField(db_index=True)
    kind = models.CharField(max_length=16, help_text="generate, embed, rerank or draw.")
    outcome = models.CharField(max_length=16, choices=Outcome)
    code = models.CharField(max_length=32, blank=True)
    first_token_ns = models.PositiveBigIntegerField(null=True)

    class Meta:
        db_table = "model_usage_stats"
        ordering = ("-created",)
        indexes = (models.Index(fields=("user", "-created"), name="usage_user_created"),)

    def __str__(self) -> str:
        return f"{self.kind} by {self.model}: {self.outcome}"


class UsageDay(Asked):
    """The sums of one day in UTC for one group of ``Asked``.

    Two processes that write the first row of a group at the same moment make two: whoever reads
    sums over them anyway. ``first_token_ns`` is the sum over ``first_tokens`` answers.
    """

    day = models.DateField()
    requests = models.PositiveIntegerField(default=0)
    cancelled = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    first_tokens = models.PositiveIntegerField(default=0)
    first_token_ns = models.PositiveBigIntegerField(default=0)

    class Meta:
        db_table = "model_usage_days"
        ordering = ("-day",)
        indexes = (
            models.Index(fields=("day", "model"), name="usage_day_model"),
            models.Index(fields=("user", "day"), name="usage_day_user"),
        )

    def __str__(self) -> str:
        return f"{self.day}: {self.requests} requests of {self.model}"
