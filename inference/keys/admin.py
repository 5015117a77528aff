"""Keys in the admin: made, shown once, revoked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminTextareaWidget

from inference.errors import InvalidRequest
from inference.keys.models import ApiKey, Scope
from inference.keys.services import DEFAULT_SCOPES, key_revoke, key_seal


class KeyForm(forms.ModelForm):
    scopes = forms.MultipleChoiceField(
        choices=Scope.choices, initial=DEFAULT_SCOPES, widget=UnfoldAdminCheckboxSelectMultipleWidget
    )
    allowed_models = forms.CharField(
        required=False,
        label="Models",
        help_text="One a line: the only ones it may ask; empty for all.",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )

    class Meta:
        model = ApiKey
        fields = (
            "user",
            "name",
            "scopes",
            "allowed_models",
            "requests_per_minute",
            "tokens_per_day",
            "bytes_per_request",
            "expires",
        )

    def clean_allowed_models(self) -> list[str]:
        return [line.strip() for line in self.cleaned_data["allowed_models"].split("\n") if line.strip()]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        user = cleaned.get("user")
        if user and Scope.MANAGE in cleaned.get("scopes", ()) and not user.is_staff:
            self.add_error("scopes", "Only the key of somebody with staff status can manage models.")
        return cleaned


@admin.register(ApiKey)
class ApiKeyAdmin(ModelAdmin):
    list_display = ("name", "shown", "user", "scope_names", "state", "expires", "last_used")
    list_filter = ("revoked", "last_used")
    list_select_related = ("user",)
    list_per_page = 50
    show_full_result_count = False
    search_fields = ("name", "prefix", "user__username")
    actions = ("revoke",)

    def get_form(self, request: HttpRequest, obj: ApiKey | None = None, **kwargs: Any) -> Any:
        return super().get_form(request, obj, **({} if obj else {"form": KeyForm}), **kwargs)

    def get_autocomplete_fields(self, request: HttpRequest) -> Sequence[str]:
        return ("user",) if _sees_all(request) else ()

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """A key opens what its owner may see, so that others than superusers make keys of their own only."""
        if db_field.name == "user" and not _sees_all(request):
            kwargs |= {
                "queryset": User.objects.filter(username=request.user.get_username()),
                "initial": request.user,
            }
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        made = ("state", "created", "last_used", "revoked") if obj else ()
        return (*KeyForm.Meta.fields, *made)

    @admin.display(description="key", ordering="prefix")
    def shown(self, key: ApiKey) -> str:
        return f"hw_{key.prefix}…"

    @admin.display(description="scopes")
    def scope_names(self, key: ApiKey) -> str:
        return ", ".join(key.scopes)

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        try:
            token = key_seal(obj)
        except InvalidRequest as error:
            messages.error(request, error.message)
            return
        obj.save()
        messages.warning(request, f"This is the only time that the key is shown: {token}")

    @admin.action(description="Revoke", permissions=["delete"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        for key in queryset:
            key_revoke(key=key)
        messages.success(request, "They open nothing any more.")

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return False


def _sees_all(request: HttpRequest) -> bool:
    return isinstance(request.user, User) and request.user.is_superuser
