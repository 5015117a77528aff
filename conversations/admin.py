"""Conversations in the admin: whose they are and how they went, never what was said."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from conversations.models import Conversation, Message


class MetadataAdmin(admin.ModelAdmin):
    """Can be looked at and deleted; adding and changing is the chat's."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Conversation)
class ConversationAdmin(MetadataAdmin):
    list_display = ("id", "user", "model", "model_provider", "updated")
    list_filter = ("model_provider", "updated")
    list_select_related = ("user",)
    search_fields = ("user__username", "model")
    fields = ("id", "user", "model", "model_provider", "created", "updated")
    readonly_fields = fields


@admin.register(Message)
class MessageAdmin(MetadataAdmin):
    list_display = ("id", "role", "status", "model", "completion_tokens", "speed", "created")
    list_filter = ("role", "status", "model_provider", "created")
    search_fields = ("model", "conversation__user__username")
    fields = (
        *("id", "conversation", "role", "status", "error", "model_provider", "model", "finish_reason"),
        *("prompt_tokens", "completion_tokens", "load_ns", "prompt_ns", "completion_ns", "total_ns"),
        "created",
    )
    readonly_fields = fields

    @admin.display(description="tokens/s")
    def speed(self, message: Message) -> str:
        rate = message.tokens_per_second
        return f"{rate:.1f}" if rate else ""
