"""Responses that are kept, so that ``previous_response_id`` can go on from them."""

from __future__ import annotations

from typing import Any

import msgspec
from django.conf import settings
from django.db import models

Item = dict[str, Any]


class StoredResponse(models.Model):
    """One response: what was said to the model in ``items``, and what came back in ``response``, as JSON.

    Only what is new in each is kept; ``previous`` names the response that it goes on from, and
    ``thread`` the first of them all, so that a whole thread is read at once. Without an owner it
    belongs to whoever is at this machine.
    """

    id = models.CharField(primary_key=True, max_length=64, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="responses"
    )
    previous = models.CharField(max_length=64, blank=True)
    thread = models.CharField(max_length=64, db_index=True)
    # Text, since PostgreSQL's JSON refuses characters that clients may send.
    items = models.TextField()
    response = models.TextField()
    size = models.PositiveBigIntegerField(default=0, help_text="Bytes of both.")
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-created",)
        # All that is needed to see what is beyond the bounds, without reading what is kept.
        indexes = (models.Index(fields=("owner", "-created", "size", "id"), name="responses_bounds"),)

    def __str__(self) -> str:
        return self.id

    @property
    def item_list(self) -> list[Item]:
        """``items``, read."""
        return msgspec.json.decode(self.items)

    @property
    def output(self) -> list[Item]:
        """The items that came back."""
        return msgspec.json.decode(self.response)["output"]
