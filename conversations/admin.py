"""Conversations in the admin: whose they are and how they went.

What was said is for those alone who have the permission to read it; it is not searched, or listed,
or named in titles for anybody else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline

from conversations.deleting import DeletingByCount
from conversations.models import Conversation, Message
from conversations.selectors import messages_below
from conversations.services import messages_delete

READ = "conversations.read_content"


def may_read(request: HttpRequest) -> bool:
    """Whether what was said may be shown."""
    return request.user.has_perm(READ)


class MetadataAdmin(DeletingByCount, ModelAdmin):
    """Can be looked at and deleted; adding and changing is the chat's."""

    list_per_page = 50
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class MessageInline(TabularInline):
    """What was said, oldest first."""

    model = Message
    fields = readonly_fields = ("role", "content", "model", "status", "created")
    fk_name = "conversation"
    can_delete = False
    extra = 0
    max_num = 0
    per_page = 50

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may_read(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Conversation)
class ConversationAdmin(MetadataAdmin):
    list_filter = ("model_provider", "updated")
    list_select_related = ("user",)
    inlines = (MessageInline,)

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        first = ("title",) if may_read(request) else ("id",)
        return (*first, "user", "model", "model_provider", "updated")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        title = ("title",) if may_read(request) else ()
        return (*title, "id", "user", "model", "model_provider", "created", "updated")

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        content = ("title", "messages__content") if may_read(request) else ()
        return ("user__username", "model", *content)


@admin.register(Message)
class MessageAdmin(MetadataAdmin):
    list_display = ("id", "role", "status", "model", "completion_tokens", "speed", "created")
    list_filter = ("role", "status", "model_provider", "created")
    search_fields = ("model", "conversation__user__username")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        content = ("thinking", "content") if may_read(request) else ()
        return (
            *("id", "conversation", "role", *content, "status", "error", "model_provider", "model"),
            *("finish_reason", "prompt_tokens", "completion_tokens", "load_ns", "prompt_ns"),
            *("completion_ns", "total_ns", "created"),
        )

    def along_with(self, chosen: Sequence[Message]) -> Sequence[Message]:
        return messages_below(chosen)

    def delete_model(self, request: HttpRequest, obj: Message) -> None:
        messages_delete(messages=[obj])

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Message]) -> None:
        messages_delete(messages=queryset)

    @admin.display(description="tokens/s")
    def speed(self, message: Message) -> str:
        rate = message.tokens_per_second
        return f"{rate:.1f}" if rate else ""
