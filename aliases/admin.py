"""Aliases in the admin."""

from django.contrib import admin

from aliases.models import Alias


@admin.register(Alias)
class AliasAdmin(admin.ModelAdmin):
    list_display = ("name", "model", "provider", "quantization", "modified")
    search_fields = ("name", "model", "description")
