"""The description of our own API: OpenAPI."""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema
from rest_framework import serializers

FAILURES = {"4XX": "The request was refused.", "5XX": "The engine failed, is not there, or too busy."}


class ProblemSerializer(serializers.Serializer[Any]):
    """What went wrong: ``param`` is the field that is to blame, where there is one."""

    code = serializers.CharField()
    message = serializers.CharField()
    param = serializers.CharField(allow_null=True)


class FailureSerializer(serializers.Serializer[Any]):
    """The body of every error."""

    error = ProblemSerializer()


class Schema(AutoSchema):
    """What is the same everywhere: filters come from the view, and errors have one form."""

    def get_override_parameters(self) -> list[Any]:
        filters = getattr(self.view, "filters", None)
        return [filters] if filters and self._is_list_view() else []

    def get_auth(self) -> list[dict[str, Any]]:
        """A key or a log-in; where nothing is anybody's own, the machine itself needs neither."""
        known: list[dict[str, Any]] = [{"key": []}, {"session": []}]
        return known if getattr(self.view, "owned", False) else [*known, {}]

    def _get_response_bodies(self, direction: Any = "response") -> dict[str, Any]:
        found: dict[str, Any] = super()._get_response_bodies(direction)
        for status, text in FAILURES.items():
            found[status] = {
                **self._get_response_for_code(FailureSerializer, status, ["application/json"]),
                "description": text,
            }
        return found
