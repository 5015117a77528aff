"""Aliases in the admin: a form for people, a box to try one, copies, export and import."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import URLPattern, path, reverse
from unfold.admin import ModelAdmin
from unfold.decorators import action
from unfold.widgets import UnfoldAdminFileFieldWidget

from aliases.answering import events_of
from aliases.exchange import LONGEST, aliases_export, aliases_import
from aliases.forms import PREFIX, AliasForm
from aliases.models import Alias
from aliases.selectors import alias_resolve, names_on
from aliases.target import Target
from inference.asker import Asker, asking
from inference.errors import InferenceError
from inference.protocol import Events, Generate, Message, Text

COPIED = (
    "model",
    "revision",
    "description",
    "system",
    "messages",
    "options",
    "json_mode",
    *("quantization", "dtype", "device", "template", "keep_alive", "fallbacks", "visibility", "license"),
)
LONGEST_PROMPT = 20_000


class ImportForm(forms.Form):
    file = forms.FileField(
        help_text="An export of aliases, or a registry.json.", widget=UnfoldAdminFileFieldWidget
    )


def _knobs(*names: str) -> tuple[str, ...]:
    return tuple(PREFIX + name for name in names)


@admin.register(Alias)
class AliasAdmin(ModelAdmin):
    form = AliasForm
    list_display = ("name", "model", "quantization", "visibility", "enabled", "modified")
    list_filter = ("enabled", "visibility", "quantization", "json_mode")
    list_per_page = 50
    show_full_result_count = False
    search_fields = ("name", "model", "description")
    autocomplete_fields = ("users", "groups")
    actions = ("export",)
    actions_list = ("import_file",)
    actions_detail = ("duplicate",)
    change_form_after_template = "admin/try.html"
    fieldsets = (
        ("Name and model", {"fields": (("name", "model"), ("description", "revision"), "enabled")}),
        ("What it is told", {"fields": ("system", "json_mode", "messages", "template")}),
        (
            "How it writes",
            {
                "description": "What is left empty is the model's own. A request's own options win.",
                "fields": (
                    _knobs("temperature", "seed"),
                    _knobs("top_k", "top_p"),
                    _knobs("min_p", "typical_p"),
                    _knobs("num_predict", "num_ctx"),
                    "stop",
                ),
            },
        ),
        (
            "Repeating itself",
            {
                "fields": (
                    _knobs("repeat_penalty", "repeat_last_n"),
                    _knobs("presence_penalty", "frequency_penalty"),
                )
            },
        ),
        ("Loading", {"fields": (("quantization", "dtype"), ("device", "keep_alive"), "fallback_names")}),
        ("For whom", {"fields": ("visibility", "users", "groups", "license")}),
    )

    class Media:
        js = (forms.widgets.Script("js/admin/try.js", type="module"),)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """What the alias that ``from`` names says, for a copy of it."""
        initial: dict[str, Any] = dict(super().get_changeform_initial_data(request))
        source = initial.pop("from", "")
        alias = Alias.objects.filter(pk=source).first() if str(source).isdecimal() else None
        if alias:
            initial |= {name: getattr(alias, name) for name in COPIED} | {"name": f"{alias.name}-copy"}
        return initial

    def has_make_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """As to add; unfold asks with an object or without."""
        return self.has_add_permission(request)

    def has_replace_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self.has_change_permission(request)

    @action(description="Duplicate", icon="content_copy", permissions=["make"])
    def duplicate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The form of a new alias, filled in; nothing is stored yet."""
        return HttpResponseRedirect(f"{reverse('admin:aliases_alias_add')}?from={object_id}")

    @admin.action(description="Export as JSON", permissions=["view"])
    def export(self, request: HttpRequest, queryset: QuerySet[Alias]) -> HttpResponse:
        return HttpResponse(
            aliases_export(queryset),
            content_type="application/json",
            headers={"Content-Disposition": 'attachment; filename="aliases.json"'},
        )

    @action(
        description="Import JSON",
        icon="upload",
        url_path="import",
        permissions=["make", "replace"],
    )
    def import_file(self, request: HttpRequest) -> HttpResponse:
        """Take all aliases of a file, or none and say why."""
        form = ImportForm(request.POST or None, request.FILES or None)
        if request.method == "POST" and form.is_valid():
            try:
                imported = aliases_import(
                    form.cleaned_data["file"].read(LONGEST + 1).decode("utf-8", "replace")
                )
            except InferenceError as error:
                form.add_error("file", error.message)
            else:
                left_out = f" Left out: {', '.join(imported.left_out)}." if imported.left_out else ""
                messages.success(request, f"Imported {len(imported.names)} aliases.{left_out}")
                return HttpResponseRedirect(reverse("admin:aliases_alias_changelist"))
        context = {**self.admin_site.each_context(request), "form": form, "title": "Import aliases"}
        return render(request, "admin/import.html", context)

    def get_deleted_objects(
        self, objs: Iterable[Alias], request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        """What goes, and the aliases that forbid it since they name one that goes."""
        aliases = list(objs)
        going = {alias.name for alias in aliases}
        held = [
            f"{alias.name}: the alias {name}"
            for alias in aliases
            for name in names_on(alias)
            if name not in going
        ]
        gone, counts, lacking, others = super().get_deleted_objects(aliases, request)
        return gone, counts, lacking, [*others, *held]

    def get_urls(self) -> list[URLPattern]:
        trial = self.admin_site.admin_view(self.try_it)
        return [path("<int:pk>/try/", trial, name="aliases_alias_try"), *super().get_urls()]

    def try_it(self, request: HttpRequest, pk: int) -> HttpResponse | StreamingHttpResponse:
        """Stream the answer of an alias, as plain text."""
        alias = get_object_or_404(Alias, pk=pk)
        if not self.has_view_permission(request, alias) or request.method != "POST":
            return HttpResponse("You may not do that.", status=403, content_type="text/plain")
        prompt = request.POST.get("prompt", "")[:LONGEST_PROMPT]
        try:
            with asking(Asker(source="admin", user=request.user.pk)):
                target = alias_resolve(alias.name)
                events = events_of(target, _question(target, prompt))
        except InferenceError as error:
            return HttpResponse(error.message, status=error.status, content_type="text/plain; charset=utf-8")
        return StreamingHttpResponse(
            _texts(events),
            content_type="text/plain; charset=utf-8",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )


def _question(target: Target, prompt: str) -> Generate:
    system = (Message(role="system", content=target.system),) if target.system else ()
    messages = (*system, *target.messages, Message(role="user", content=prompt))
    return target.fill(Generate(model=target.model, messages=messages))


async def _texts(events: Events) -> AsyncIterator[str]:
    try:
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Text):
                    yield event.text
    except InferenceError as error:
        yield f"\n{error.message}"
