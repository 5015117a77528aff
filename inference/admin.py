"""Models in the admin: to look at, to load and to let go. They come by ``pull``."""

from __future__ import annotations

from typing import Any

from asgiref.sync import async_to_sync
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from unfold.admin import ModelAdmin

from inference.engines import engine_load, engine_loaded, engine_unload
from inference.errors import InferenceError
from inference.models import ModelRecord
from inference.protocol import ModelRef

PERMISSION = "inference.change_modelrecord"


@admin.register(ModelRecord)
class ModelRecordAdmin(ModelAdmin):
    list_display = (
        "name",
        "in_memory",
        "kind",
        "architecture",
        "dtype",
        "parameters",
        "on_disk",
        "source",
        "last_used",
    )
    list_filter = ("kind", "source")
    search_fields = ("name", "architecture")
    show_full_result_count = False
    actions = ("load", "unload")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelRecord]:
        # Asked once for the page rather than once a row.
        loaded = async_to_sync(engine_loaded)() or ()
        self._loaded = {model.name.lower(): model.state for model in loaded}
        return super().get_queryset(request)

    @admin.display(description="in memory")
    def in_memory(self, record: ModelRecord) -> str:
        return {"ready": "loaded", "loading": "loading"}.get(self._loaded.get(record.name.lower(), ""), "–")

    @admin.display(description="size", ordering="size")
    def on_disk(self, record: ModelRecord) -> str:
        return filesizeformat(record.size)

    @admin.action(description="Load")
    def load(self, request: HttpRequest, queryset: QuerySet[ModelRecord]) -> None:
        for record in queryset:
            self._tell(request, record, engine_load, "is being loaded")

    @admin.action(description="Unload")
    def unload(self, request: HttpRequest, queryset: QuerySet[ModelRecord]) -> None:
        for record in queryset:
            self._tell(request, record, engine_unload, "leaves memory")

    def _tell(self, request: HttpRequest, record: ModelRecord, ask: Any, done: str) -> None:
        model = ModelRef(name=record.name, path=str(record.path), id=record.name)
        try:
            async_to_sync(ask)(record.provider, model)
        except InferenceError as error:
            messages.error(request, f"{record.name}: {error.message}")
        else:
            messages.success(request, f"{record.name} {done}.")

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return super().get_actions(request) if request.user.has_perm(PERMISSION) else {}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: ModelRecord | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ModelRecord | None = None) -> bool:
        return False
