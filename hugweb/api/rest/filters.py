"""Lists are narrowed by what stands in the query, as each view's serializer of ``filters`` reads it.

The name of a field is that of the parameter, its ``source`` the lookup that it stands for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet
from rest_framework.filters import BaseFilterBackend
from rest_framework.request import Request
from rest_framework.serializers import Serializer

if TYPE_CHECKING:
    from rest_framework.views import APIView


def query_read(request: Request, kind: type[Serializer[Any]]) -> dict[str, Any]:
    """The parameters of the query as a ``kind``; ``ValidationError``."""
    query = kind(data=request.query_params.dict())
    query.is_valid(raise_exception=True)
    found: dict[str, Any] = query.validated_data
    return found


class Filters(BaseFilterBackend):
    """Applies the ``filters`` of a view."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> QuerySet[Any]:
        kind = getattr(view, "filters", None)
        return queryset.filter(**query_read(request, kind)) if kind else queryset
