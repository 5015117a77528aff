"""Models in the admin: to look at. They come by ``pull``, which knows what they are."""

from django.contrib import admin
from django.http import HttpRequest

from inference.models import ModelRecord


@admin.register(ModelRecord)
class ModelRecordAdmin(admin.ModelAdmin):
    list_display = ("name", "kind", "architecture", "dtype", "parameters", "size", "source", "last_used")
    list_filter = ("kind", "source")
    search_fields = ("name", "architecture")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: ModelRecord | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ModelRecord | None = None) -> bool:
        return False
