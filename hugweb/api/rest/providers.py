"""``/rest/providers/``: who answers requests for models, and what each has in memory."""

from __future__ import annotations

from typing import Any

from asgiref.sync import async_to_sync
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from aliases.selectors import loaded_visible
from inference.asker import asker
from inference.engines import engine_loaded, engines_loaded
from inference.errors import NotFound
from inference.models import ProviderConfig
from inference.protocol import LoadedModel
from inference.providers.configs import providers_configured
from inference.providers.registry import PROVIDERS


class LoadedSerializer(serializers.Serializer[Any]):
    """A model in memory: ``size`` in bytes, ``expires_in`` seconds, negative for never."""

    name = serializers.CharField()
    state = serializers.CharField()
    device = serializers.CharField()
    dtype = serializers.CharField(allow_blank=True)
    quantization = serializers.CharField()
    size = serializers.IntegerField()
    context_length = serializers.IntegerField()
    expires_in = serializers.FloatField()
    active = serializers.IntegerField()


class ProviderSerializer(serializers.Serializer[Any]):
    """A provider: whether it takes requests, which comes first, and whether it answers."""

    name = serializers.CharField()
    enabled = serializers.BooleanField()
    priority = serializers.IntegerField()
    healthy = serializers.BooleanField()
    loaded = LoadedSerializer(many=True)


class ProviderViewSet(viewsets.GenericViewSet[Any]):
    serializer_class = ProviderSerializer
    filter_backends = ()
    lookup_field = "name"
    lookup_value_converter = "str"

    @extend_schema(summary="All providers", responses=ProviderSerializer(many=True))
    def list(self, request: Request) -> Response:
        found = async_to_sync(engines_loaded)(PROVIDERS)
        page = self.paginate_queryset([_entry(row, found[row.name]) for row in providers_configured()])
        return self.get_paginated_response(page)

    @extend_schema(
        summary="One provider",
        parameters=[OpenApiParameter("name", str, OpenApiParameter.PATH, enum=tuple(PROVIDERS))],
    )
    def retrieve(self, request: Request, name: str) -> Response:
        if name not in PROVIDERS:
            raise NotFound(f"There is no such provider. Known: {', '.join(PROVIDERS)}.")
        row = next(row for row in providers_configured() if row.name == name)
        return Response(_entry(row, async_to_sync(engine_loaded)(name)))


def _entry(row: ProviderConfig, loaded: tuple[LoadedModel, ...] | None) -> dict[str, Any]:
    """A provider with what it has in memory; None where it gives no answer in time."""
    known = loaded_visible(loaded or (), asker().user)
    told = {"name": row.name, "enabled": row.enabled, "priority": row.priority}
    return ProviderSerializer({**told, "healthy": loaded is not None, "loaded": known}).data
