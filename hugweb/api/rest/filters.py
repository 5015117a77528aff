"""Lists are narrowed and ordered by what stands in the query, as each view's ``filters`` read it.

The name of a field is that of the parameter, its ``source`` the lookup that it stands for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import F, OrderBy, QuerySet
from rest_framework import serializers
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


class Ordering(serializers.ChoiceField):
    """``ordering``: one of a view's fields, with ``-`` before it the other way round; none come last."""

    def __init__(self, *names: str) -> None:
        choices = [f"{sign}{name}" for name in names for sign in ("", "-")]
        super().__init__(choices, required=False, help_text="By what; with - the other way round.")


class Filters(BaseFilterBackend):
    """Applies the ``filters`` of a view. What is equal in that order is so by its primary key."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> QuerySet[Any]:
        kind = getattr(view, "filters", None)
        query = query_read(request, kind) if kind else {}
        wanted = query.pop("ordering", "")
        usual = queryset.query.order_by or queryset.model._meta.ordering
        order = [_ordered(wanted)] if wanted else usual
        return queryset.filter(**query).order_by(*order, "pk")


def _ordered(wanted: str) -> OrderBy:
    field = F(wanted.removeprefix("-"))
    return field.desc(nulls_last=True) if wanted.startswith("-") else field.asc(nulls_last=True)
