"""``/rest/aliases/``: the names that models are asked by."""

from __future__ import annotations

from typing import Any, ClassVar, get_args

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from aliases.models import DEVICE_HELP, NAME_HELP, Alias, validate_options
from aliases.names import canonical_name
from aliases.selectors import alias_find, aliases_visible
from aliases.services import (
    LONGEST_LICENSE,
    LONGEST_SYSTEM,
    Settings,
    alias_change,
    alias_create,
    alias_delete,
)
from aliases.templates import template_checked
from hugweb.api.body import struct_of
from hugweb.api.options import options_schema
from hugweb.api.rest.fields import OF_MODELS, Pattern, Search, Text
from hugweb.api.rest.filters import Ordering
from inference.asker import asker
from inference.errors import InvalidRequest
from inference.protocol import LONGEST_GIVEN_TEMPLATE, MAX_MESSAGES, Role
from inference.store.names import LONGEST_NAME

# What a client may write of a name; the model's own checks say the rest.
_PART = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}"
_NAME = rf"^(?:{_PART}/)?{_PART}(?::{_PART})?$"
_DURATION = r"^(?:-?(?:[0-9]{1,9}|(?:[0-9]{1,4}(?:\.[0-9]{1,3})?(?:ms|s|m|h)){1,6}))$"
_DEVICE = r"^(?:auto|cpu|mps|cuda(?::[0-9]{1,2})?)$"


@extend_schema_field(
    {**options_schema(), "description": "Ollama's options; what is left out is as the model says."}
)
class OptionsField(serializers.JSONField):
    """Ollama's options."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            # To JSON Schema 1.0 is an integer.
            data = {name: int(value) if _is_whole(value) else value for name, value in data.items()}
        try:
            validate_options(data)
        except ValidationError as error:
            raise serializers.ValidationError(error.messages) from error
        return data


def _is_whole(value: object) -> bool:
    return isinstance(value, float) and value.is_integer()


class AliasMessageSerializer(serializers.Serializer[Any]):
    """A message that stands before those of every chat."""

    role = serializers.ChoiceField(choices=get_args(Role))
    # One that is empty is kept without it.
    content = Text(max_length=LONGEST_SYSTEM, trim_whitespace=False, allow_blank=True, default="")


@extend_schema_field(
    {"type": "string", "format": "jinja", "minLength": 1, "maxLength": LONGEST_GIVEN_TEMPLATE}
)
class TemplateField(Text):
    """A chat template in Jinja that shows ``messages``; empty for the model's own."""

    def to_internal_value(self, data: Any) -> Any:
        try:
            return template_checked(super().to_internal_value(data))
        except InvalidRequest as error:
            raise serializers.ValidationError(error.message) from error


class AliasSerializer(serializers.ModelSerializer[Alias]):
    """An alias. ``model`` is a model's id or another alias; ``keep_alive`` a duration such as 5m."""

    options = OptionsField(required=False)
    messages = serializers.ListField(child=AliasMessageSerializer(), required=False, max_length=MAX_MESSAGES)
    system = Text(required=False, allow_blank=True, max_length=LONGEST_SYSTEM)
    license = Text(required=False, allow_blank=True, max_length=LONGEST_LICENSE)
    keep_alive = Pattern(
        _DURATION,
        required=False,
        allow_blank=True,
        max_length=32,
    )
    device = Pattern(_DEVICE, required=False, max_length=8, help_text=DEVICE_HELP)
    template = TemplateField(
        required=False, allow_blank=True, trim_whitespace=False, max_length=LONGEST_GIVEN_TEMPLATE
    )
    fallbacks = serializers.ListField(
        child=Pattern(_NAME, max_length=LONGEST_NAME), required=False, max_length=8
    )

    serializer_field_mapping = OF_MODELS

    class Meta:
        model = Alias
        fields: tuple[str, ...] = (
            *("id", "name", "provider", "model", "revision", "description", "system", "messages", "options"),
            *("quantization", "dtype", "device", "template", "json_mode", "keep_alive", "fallbacks"),
            *("visibility", "enabled", "license", "created", "modified"),
        )
        read_only_fields: tuple[str, ...] = ("id", "name", "provider", "created", "modified")


class NewAliasSerializer(AliasSerializer):
    """An alias to be made: what is left out is as ``model`` has it."""

    name = Pattern(_NAME, max_length=LONGEST_NAME, help_text=NAME_HELP)
    model = Pattern(_NAME, max_length=LONGEST_NAME, help_text="A model's id, or another alias.")

    class Meta(AliasSerializer.Meta):
        fields = (
            *("name", "model", "description", "system", "messages", "options", "quantization"),
            *("dtype", "device", "template", "json_mode", "keep_alive", "fallbacks", "license"),
        )
        read_only_fields = ()


class AliasFilters(serializers.Serializer[Any]):
    name = Search(max_length=LONGEST_NAME, source="name__icontains")
    model = Search(max_length=LONGEST_NAME, source="model__iexact")
    enabled = serializers.BooleanField(required=False)
    ordering = Ordering("name", "model", "created", "modified")


@extend_schema_view(
    list=extend_schema(summary="The aliases that you may ask for"),
    retrieve=extend_schema(summary="One alias"),
    partial_update=extend_schema(summary="Change an alias"),
    destroy=extend_schema(summary="Delete an alias; its model stays"),
)
class AliasViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.DestroyModelMixin, viewsets.GenericViewSet[Alias]
):
    queryset = Alias.objects.all()
    serializer_class = AliasSerializer
    filters = AliasFilters
    lookup_value_converter = "int"
    http_method_names = ("get", "head", "options", "post", "patch", "delete")
    permissions: ClassVar = {
        "create": "aliases.add_alias",
        "partial_update": "aliases.change_alias",
        "destroy": "aliases.delete_alias",
    }

    def get_queryset(self) -> QuerySet[Alias]:
        """What whoever asks may ask for; those who manage aliases see those that are off, too."""
        user = self.request.user
        if not user.is_authenticated or (user.is_staff and user.has_perm("aliases.view_alias")):
            return Alias.objects.all()
        return aliases_visible(asker().user)

    @extend_schema(summary="Make an alias", request=NewAliasSerializer, responses={201: AliasSerializer})
    def create(self, request: Request) -> Response:
        body = NewAliasSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        given = dict(body.validated_data)
        name, source = given.pop("name"), given.pop("model")
        if alias_find(canonical_name(name)):
            raise InvalidRequest(f"There is an alias '{name}' already. Change that one.", param="name")
        made = alias_create(name=name, source=source, settings=struct_of(given, Settings))
        return Response(AliasSerializer(made).data, status=status.HTTP_201_CREATED)

    def partial_update(self, request: Request, pk: int) -> Response:
        alias = self.get_object()
        body = AliasSerializer(alias, data=request.data, partial=True)
        body.is_valid(raise_exception=True)
        changed = alias_change(pk=alias.pk, changes=body.validated_data)
        return Response(AliasSerializer(changed).data)

    def perform_destroy(self, instance: Alias) -> None:
        alias_delete(name=instance.name)
