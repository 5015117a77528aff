"""Fields of a JSON body: each takes what its description says, and nothing that has to be made into it.

DRF's own read forms, too: they take numbers for texts, and texts for numbers and for yes and no. What
stands in a query is text, so filters keep DRF's.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from rest_framework import serializers

from hugweb.api.fields import NOT_BLANK


class Text(serializers.CharField):
    """A string."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        text: str = super().to_internal_value(data)
        return text


class Pattern(Text, serializers.RegexField):
    """A string of a form, all of it."""

    def __init__(self, regex: str, **arguments: Any) -> None:
        super().__init__(regex, **{"trim_whitespace": False, **arguments})

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        # To Python, `$` is also before a line break at the end.
        if text.endswith("\n"):
            self.fail("invalid")
        return text


class Label(Pattern):
    """What people call something: not only spaces, which are cut off its ends."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(NOT_BLANK, trim_whitespace=True, **arguments)


class Whole(serializers.IntegerField):
    """A whole number; to JSON Schema, 1.0 is one."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, str | bool):
            self.fail("invalid")
        number: int = super().to_internal_value(data)
        return number


class Flag(serializers.BooleanField):
    """True or false."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class Search(serializers.CharField):
    """A text in a query, as it is: also one that is nothing but spaces."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(required=False, trim_whitespace=False, **arguments)


# For serializers that are made of a model.
OF_MODELS = serializers.ModelSerializer.serializer_field_mapping | {
    models.CharField: Text,
    models.TextField: Text,
    models.BooleanField: Flag,
}
