"""Models in the admin: pulled, looked at, loaded, let go, and deleted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any, get_args

from asgiref.sync import async_to_sync
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.defaultfilters import filesizeformat
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin
from unfold.decorators import action

from aliases.selectors import names_of
from hugweb.api.ollama.listing import human_number
from hugweb.jobs import load_begin
from hugweb.pulling import PERMISSION, PullPages
from inference.engines import engine_loaded, engine_unload
from inference.errors import InferenceError
from inference.models import ModelRecord
from inference.protocol import ModelRef, Quantization
from inference.providers.configs import provider_check
from inference.store.estimate import record_fit
from inference.store.room import empty_machine
from inference.store.services import model_delete

WAYS: dict[Quantization, str] = {"none": "as it is", "int8": "in 8 bits", "int4": "in 4 bits"}
LIST = "admin:inference_modelrecord_changelist"
NAME = "admin:inference_modelrecord_pull"


@admin.register(ModelRecord)
class ModelRecordAdmin(ModelAdmin):
    list_display = (
        *("name", "kind", "can", "on_disk", "fit", "in_memory", "measured", "last_used"),
        *("architecture", "numbers"),
    )
    list_filter = ("kind", "source")
    list_per_page = 50
    search_fields = ("name", "architecture")
    show_full_result_count = False
    actions = ("load", "load_int8", "load_int4", "unload")
    actions_list = ("pull",)
    list_before_template = "admin/models_now.html"
    change_form_outer_after_template = "admin/model_panel.html"
    fieldsets = (
        (None, {"fields": (("name", "kind"), ("can", "architecture"), ("fit", "in_memory"))}),
        ("Files", {"fields": (("on_disk", "source"), ("dtype", "quantization"), ("revision", "license"))}),
        (
            "What it takes",
            {"fields": (("numbers", "context_length"), ("measured", "last_used"), "held_by")},
        ),
    )

    class Media:
        css = {"all": ("css/pulls.css",)}

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelRecord]:
        # Asked once for the page rather than once a row.
        loaded = async_to_sync(engine_loaded)() or ()
        self._loaded = {model.name.lower(): model.state for model in loaded}
        self._machine = empty_machine()
        return super().get_queryset(request)

    @admin.display(description="can")
    def can(self, record: ModelRecord) -> str:
        return ", ".join(record.capabilities) or "–"

    @admin.display(description="fits")
    def fit(self, record: ModelRecord) -> str:
        return record_fit(record, self._machine).verdict.removeprefix("fits ")

    @admin.display(description="loaded now")
    def in_memory(self, record: ModelRecord) -> str:
        return {"ready": "loaded", "loading": "loading"}.get(self._loaded.get(record.name.lower(), ""), "–")

    @admin.display(description="size", ordering="size")
    def on_disk(self, record: ModelRecord) -> str:
        return filesizeformat(record.size)

    @admin.display(description="memory", ordering="memory")
    def measured(self, record: ModelRecord) -> str:
        """What it took when it was last loaded, where it has been."""
        return filesizeformat(record.memory) if record.memory else "–"

    @admin.display(description="numbers", ordering="parameters")
    def numbers(self, record: ModelRecord) -> str:
        return human_number(record.parameters)

    @admin.display(description="aliases")
    def held_by(self, record: ModelRecord) -> str:
        return ", ".join(names_of(record)) or "none"

    @admin.action(description="Load", permissions=["pull"])
    def load(self, request: HttpRequest, queryset: QuerySet[ModelRecord]) -> None:
        self._load(request, queryset, "none")

    @admin.action(description="Load in 8 bits", permissions=["pull"])
    def load_int8(self, request: HttpRequest, queryset: QuerySet[ModelRecord]) -> None:
        self._load(request, queryset, "int8")

    @admin.action(description="Load in 4 bits", permissions=["pull"])
    def load_int4(self, request: HttpRequest, queryset: QuerySet[ModelRecord]) -> None:
        self._load(request, queryset, "int4")

    @admin.action(description="Unload", permissions=["pull"])
    def unload(self, request: HttpRequest, queryset: QuerySet[ModelRecord]) -> None:
        for record in queryset:
            with telling(request, record.name):
                _unload(record)
                messages.success(request, f"{record.name} leaves memory as soon as nobody uses it.")

    def _load(self, request: HttpRequest, records: Iterable[ModelRecord], quantization: Quantization) -> None:
        for record in records:
            with telling(request, record.name):
                provider_check(record.provider)
                state = async_to_sync(load_begin)(record.provider, _ref(record, quantization))
                messages.success(request, f"{record.name} is {_said(state, quantization)}.")

    @action(description="Pull a model", icon="download", url_path="pull", permissions=["pull"])
    def pull(self, request: HttpRequest) -> HttpResponse:
        """The page that pulls; its parts are in ``get_urls``."""
        return self._pages().page(request)

    def _pages(self) -> PullPages:
        return PullPages(NAME, "admin/pull.html", self._frame)

    def _frame(self, request: HttpRequest) -> dict[str, Any]:
        return {**self.admin_site.each_context(request), "title": "Pull a model", "opts": self.opts}

    def get_urls(self) -> list[URLPattern]:
        def guard(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
            def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
                if not self.has_pull_permission(request):
                    return HttpResponse("You may not do that.", status=403, content_type="text/plain")
                return view(request, *args, **kwargs)

            return self.admin_site.admin_view(guarded)

        pulling = [
            path(f"pull/{each.pattern}", each.callback, name=each.name) for each in self._pages().urls(guard)
        ]
        step = path("<int:pk>/memory/", guard(require_POST(self.memory)), name="inference_modelrecord_memory")
        return [*pulling, step, *super().get_urls()]

    def memory(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Load the model as the form says, or let it go."""
        records = ModelRecord.objects.filter(pk=pk)
        get_object_or_404(records)
        wanted = request.POST.get("quantization", "")
        if wanted in get_args(Quantization):
            self._load(request, records, wanted)  # type: ignore[arg-type]
        else:
            self.unload(request, records)
        return HttpResponseRedirect(reverse("admin:inference_modelrecord_change", args=[pk]))

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        context = {"ways": WAYS, "may_load": self.has_pull_permission(request), **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, context)

    def get_deleted_objects(
        self, objs: Iterable[ModelRecord], request: HttpRequest
    ) -> tuple[list[str], dict[str, Any], set[str], list[str]]:
        """What deleting frees, and the aliases that forbid it."""
        records = list(objs)
        held = [f"{record.name}: the alias {name}" for record in records for name in names_of(record)]
        frees = [f"{record.name}, {filesizeformat(record.size)}" for record in records]
        sums = {"models": len(records), "frees": filesizeformat(sum(record.size for record in records))}
        lacking = set() if self.has_delete_permission(request) else {str(self.opts.verbose_name)}
        return frees, sums, lacking, held

    def delete_model(self, request: HttpRequest, obj: ModelRecord) -> None:
        with contextlib.suppress(InferenceError):
            _unload(obj)
        model_delete(record=obj, held_by=names_of(obj))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[ModelRecord]) -> None:
        for record in queryset:
            self.delete_model(request, record)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        with telling(request):
            return super().delete_view(request, object_id, extra_context)
        return HttpResponseRedirect(reverse(LIST))

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        with telling(request):
            context = {"may_pull": self.has_pull_permission(request), **(extra_context or {})}
            return super().changelist_view(request, context)
        return HttpResponseRedirect(reverse(LIST))

    def has_pull_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """As to manage models; unfold asks with an object or without."""
        return request.user.has_perm(PERMISSION)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: ModelRecord | None = None) -> bool:
        return False


class telling(contextlib.AbstractContextManager[None]):
    """What goes wrong inside is told to whoever asked, with ``name`` before it."""

    def __init__(self, request: HttpRequest, name: str = "") -> None:
        self._request, self._name = request, name

    def __exit__(self, kind: Any, error: BaseException | None, *_: Any) -> bool:
        if not isinstance(error, InferenceError):
            return False
        messages.error(self._request, f"{self._name}: {error.message}" if self._name else error.message)
        return True


def _ref(record: ModelRecord, quantization: Quantization = "none") -> ModelRef:
    return ModelRef(name=record.name, path=str(record.path), id=record.name, quantization=quantization)


def _unload(record: ModelRecord) -> None:
    """Let the model go in every precision that it is loaded in."""
    for quantization in WAYS:
        async_to_sync(engine_unload)(record.provider, _ref(record, quantization))


def _said(state: str, quantization: Quantization) -> str:
    way = "" if quantization == "none" else f" {WAYS[quantization]}"
    return f"loaded{way}" if state == "loaded" else f"being loaded{way}"
