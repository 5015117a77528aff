"""Conversations, their messages, and the pictures that belong to these."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from inference.store.names import LONGEST_NAME


class Conversation(models.Model):
    """One person's talk with a model: a tree of messages, seen along its active leaf."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="conversations")
    title = models.CharField(max_length=120)
    model = models.CharField(max_length=LONGEST_NAME, help_text="The name last asked: an alias or a model.")
    model_provider = models.CharField(max_length=32)
    active_leaf = models.ForeignKey(
        "Message", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created = models.DateTimeField(auto_now_add=True)
    updated = models.DateTimeField(auto_now_add=True, help_text="When a message was last added.")

    class Meta:
        ordering = ("-updated",)
        indexes = (models.Index(fields=("user", "-updated")),)
        permissions = (("read_content", "Can read what others said"),)

    def __str__(self) -> str:
        # The title quotes its owner: what logs and the admin print must not.
        return f"conversation {self.pk}"


class Message(models.Model):
    """One message. An answer keeps what made it, so that history stays true."""

    class Role(models.TextChoices):
        SYSTEM = "system"
        USER = "user"
        ASSISTANT = "assistant"

    class Status(models.TextChoices):
        STREAMING = "streaming", "being written"
        COMPLETE = "complete"
        STOPPED = "stopped", "stopped by its reader"
        INTERRUPTED = "interrupted", "cut off by an error"
        FAILED = "failed", "failed before it began"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="messages")
    parent = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.CASCADE, related_name="children"
    )
    role = models.CharField(max_length=16, choices=Role)
    content = models.TextField(blank=True)
    thinking = models.TextField(blank=True, help_text="What the model thought before it answered.")
    status = models.CharField(max_length=16, choices=Status, default=Status.COMPLETE)
    error = models.CharField(max_length=500, blank=True)
    created = models.DateTimeField(auto_now_add=True)
    writer = models.CharField(
        max_length=32, blank=True, editable=False, help_text="The run of a server that writes the answer."
    )
    alive = models.DateTimeField(null=True, editable=False, help_text="When its writer was last heard of.")

    model_provider = models.CharField(max_length=32, blank=True)
    model = models.CharField(
        max_length=LONGEST_NAME, blank=True, help_text="The model that answered, not the alias."
    )
    note = models.CharField(
        max_length=300, blank=True, help_text="What was done other than asked, for whoever reads the answer."
    )
    finish_reason = models.CharField(max_length=16, blank=True)
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    load_ns = models.PositiveBigIntegerField(default=0)
    prompt_ns = models.PositiveBigIntegerField(default=0)
    completion_ns = models.PositiveBigIntegerField(default=0)
    total_ns = models.PositiveBigIntegerField(default=0)
    thinking_ns = models.PositiveBigIntegerField(default=0)

    class Meta:
        ordering = ("created",)
        # For the admin's list of all of them: of 200,000 it sorted each for its page of fifty.
        indexes = (models.Index(fields=("created",), name="message_created"),)
        constraints = (
            models.UniqueConstraint(
                fields=("conversation",),
                condition=models.Q(status="streaming"),
                name="message_one_turn_at_a_time",
            ),
        )

    def __str__(self) -> str:
        return f"{self.role} message {self.pk}"

    @property
    def is_streaming(self) -> bool:
        """Whether the answer is still being written."""
        return self.status == self.Status.STREAMING

    @property
    def tokens_per_second(self) -> float | None:
        """How fast the answer was written, where that was measured."""
        if not self.completion_ns or not self.completion_tokens:
            return None
        return self.completion_tokens * 1e9 / self.completion_ns


class Attachment(models.Model):
    """A picture that somebody has uploaded; its file is ``conversations.media``'s.

    It has no message until it is sent. What it is was found out by decoding it, not from its name.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="attachments")
    message = models.ForeignKey(
        Message, null=True, blank=True, on_delete=models.CASCADE, related_name="attachments"
    )
    position = models.PositiveSmallIntegerField(default=0, help_text="Its place in the message.")
    sha256 = models.CharField(max_length=64)
    size = models.PositiveIntegerField(help_text="Bytes.")
    type = models.CharField(max_length=32, help_text="The media type.")
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("position", "created")

    def __str__(self) -> str:
        return f"attachment {self.pk}"
