"""Lists come in pages."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request

MOST = 200
LAST = 1_000_000


class Pages(PageNumberPagination):
    """``page`` from 1, of ``page_size`` entries."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = MOST

    def get_page_number(self, request: Request, paginator: Paginator[Any]) -> int:
        return _number(request, "page", 1, LAST)

    def get_page_size(self, request: Request) -> int:
        return _number(request, "page_size", self.page_size, MOST)

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        limits = {"page": {"minimum": 1, "maximum": LAST}, "page_size": {"minimum": 1, "maximum": MOST}}
        found = super().get_schema_operation_parameters(view)
        return [{**each, "schema": {**each["schema"], **limits[each["name"]]}} for each in found]


def _number(request: Request, name: str, otherwise: int, most: int) -> int:
    """The parameter ``name``, from 1 to ``most``."""
    given = request.query_params.get(name)
    if given is None:
        return otherwise
    if not (given.isascii() and given.isdigit() and len(given) < 8 and 1 <= int(given) <= most):
        raise ValidationError({name: f"A whole number from 1 to {most}."})
    return int(given)
