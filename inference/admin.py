"""Providers in the admin: switched on and off, put in order, and tried. Models are in ``hugweb.admin``."""

from __future__ import annotations

from typing import Any

from asgiref.sync import async_to_sync
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin

from inference.asker import Asker, asking
from inference.engines import engine_loaded, engines_loaded
from inference.models import ModelRecord, ProviderConfig
from inference.providers.configs import providers_configured
from inference.providers.registry import PROVIDERS
from inference.providers.trial import Trial, provider_try, trial_model

NO_MODEL = "It has no model that writes text. Pull one first."


@admin.register(ProviderConfig)
class ProviderConfigAdmin(ModelAdmin):
    list_display = ("name", "enabled", "priority", "health")
    list_before_template = "admin/providers_now.html"
    show_full_result_count = False
    actions = None
    fields = ("name", ("enabled", "priority"), "health")
    readonly_fields = ("name", "health")
    change_form_outer_after_template = "admin/provider_panel.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[ProviderConfig]:
        names = [row.name for row in providers_configured()]
        return super().get_queryset(request).filter(name__in=names)

    @admin.display(description="health")
    def health(self, row: ProviderConfig) -> str:
        loaded = async_to_sync(engine_loaded)(row.name)
        if loaded is None:
            return "gives no answer"
        return f"answers, {len(loaded)} in memory"

    def get_urls(self) -> list[URLPattern]:
        trial = self.admin_site.admin_view(require_POST(self.try_it))
        now = self.admin_site.admin_view(self.now)
        return [
            path("<int:pk>/test/", trial, name="inference_providerconfig_test"),
            path("now/", now, name="inference_providerconfig_now"),
            *super().get_urls(),
        ]

    def now(self, request: HttpRequest) -> HttpResponse:
        """Whether each provider answers, as a part of the list."""
        if not self.has_view_permission(request):
            return HttpResponse("You may not do that.", status=403, content_type="text/plain")
        rows = providers_configured()
        found = async_to_sync(engines_loaded)(row.name for row in rows)
        context = {"providers": [(row, found[row.name]) for row in rows]}
        return render(request, "admin/_providers.html", context)

    def try_it(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask a short answer of the provider, and say what came and how fast."""
        row = get_object_or_404(ProviderConfig, pk=pk, name__in=PROVIDERS)
        if not self.has_change_permission(request, row):
            return HttpResponse("You may not do that.", status=403, content_type="text/plain")
        wanted = ModelRecord.objects.filter(provider=row.name, name=request.POST.get("model", ""))
        record = wanted.first() or trial_model(row.name)
        trial = Trial("", error=NO_MODEL)
        if record:
            with asking(Asker(source="admin", user=request.user.pk)):
                trial = async_to_sync(provider_try)(row.name, record)
        return render(request, "admin/_trial.html", {"trial": trial})

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        writing = [
            record.name
            for record in ModelRecord.objects.only("name", "capabilities").order_by("name")
            if "completion" in record.capabilities
        ]
        return super().changeform_view(
            request, object_id, form_url, {"writing": writing, **(extra_context or {})}
        )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ProviderConfig | None = None) -> bool:
        return False
