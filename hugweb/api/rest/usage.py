"""``/rest/usage/``: what was asked and what it cost, in sums of days."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from hugweb.api.rest.access import check_permission, user_of
from hugweb.api.rest.filters import query_read
from inference.usage.models import UsageDay
from inference.usage.selectors import By, Sums, usage_by, usage_by_day, usage_days

_BY: dict[str, By] = {
    "model": "model",
    "alias": "alias",
    "user": "user__username",
    "key": "key",
    "source": "source",
    "provider": "provider",
}
MOST_DAYS = 366
MOST_GROUPS = 1000


class UsageQuery(serializers.Serializer[Any]):
    """How to group, how far back, and whose: ``all`` is for those who may see everybody's."""

    by = serializers.ChoiceField(("day", *_BY), default="day")
    days = serializers.IntegerField(min_value=1, max_value=MOST_DAYS, default=30)
    of = serializers.ChoiceField(("me", "all"), default="me")


class UsageSerializer(serializers.Serializer[Any]):
    """The sums of one group: tokens, times in nanoseconds; ``name`` is empty where there is none, and of
    a key what it is for and how it begins."""

    name = serializers.SerializerMethodField()
    requests = serializers.IntegerField()
    cancelled = serializers.IntegerField()
    failed = serializers.IntegerField()
    prompt_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    duration_ns = serializers.IntegerField()

    def get_name(self, sums: Sums) -> str:
        return "" if sums.name is None else str(sums.name)


class UsageViewSet(viewsets.GenericViewSet[UsageDay]):
    queryset = UsageDay.objects.none()
    serializer_class = UsageSerializer
    filters = UsageQuery
    owned = True

    @extend_schema(summary="Usage, grouped", responses=UsageSerializer(many=True))
    def list(self, request: Request) -> Response:
        query = query_read(request, UsageQuery)
        if everybody := query["of"] == "all":
            check_permission(request, "usage.view_usageday")
        days = query["days"]
        rows = usage_days(days=days, user=None if everybody else user_of(request))
        by = _BY.get(query["by"])
        sums = usage_by(rows, by, most=MOST_GROUPS) if by else usage_by_day(rows, days=days)
        page = self.paginate_queryset(sums)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)
