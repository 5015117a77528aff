"""Usage in the admin: to look at. The dashboard has the charts, and the CSV."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from inference.usage.models import UsageDay, UsageRecord


class ReadOnlyAdmin(ModelAdmin):
    list_select_related = ("user", "key")
    list_per_page = 50
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(UsageDay)
class UsageDayAdmin(ReadOnlyAdmin):
    list_display = (
        "day",
        "model",
        "alias",
        "user",
        "key",
        "source",
        "requests",
        "failed",
        *("prompt_tokens", "completion_tokens"),
    )
    list_filter = ("day", "source", "provider")
    search_fields = ("model", "alias", "user__username")


@admin.register(UsageRecord)
class UsageRecordAdmin(ReadOnlyAdmin):
    list_display = (
        "created",
        "model",
        "alias",
        "user",
        "key",
        "source",
        "outcome",
        "code",
        *("prompt_tokens", "completion_tokens", "seconds"),
    )
    list_filter = ("created", "outcome", "source", "kind")
    search_fields = ("model", "alias", "user__username", "code")

    @admin.display(description="seconds", ordering="duration_ns")
    def seconds(self, record: UsageRecord) -> str:
        return f"{record.duration_ns / 1e9:.2f}"
