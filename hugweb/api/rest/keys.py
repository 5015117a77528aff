"""``/rest/keys/``: one's own keys. A key can look at keys, but makes and revokes none."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from hugweb.api.rest.access import user_of
from hugweb.api.rest.fields import Label, Search, Whole
from hugweb.api.rest.filters import Ordering
from inference.asker import asker
from inference.errors import Forbidden
from inference.keys.models import MAX_MODELS, MOST_BYTES, MOST_TOKENS, ApiKey, Scope
from inference.keys.selectors import key_list
from inference.keys.services import DEFAULT_SCOPES, key_create, key_revoke
from inference.store.names import LONGEST_NAME


class KeySerializer(serializers.ModelSerializer[ApiKey]):
    """A key, by the part of it that may be shown. ``state`` says why it opens nothing, if so."""

    state = serializers.CharField(read_only=True)
    scopes = serializers.ListField(child=serializers.CharField(), read_only=True)
    allowed_models = serializers.ListField(child=serializers.CharField(), read_only=True)

    class Meta:
        model = ApiKey
        fields: tuple[str, ...] = (
            *("id", "name", "prefix", "scopes", "allowed_models"),
            *("requests_per_minute", "tokens_per_day", "bytes_per_request"),
            *("state", "created", "expires", "revoked", "last_used"),
        )
        read_only_fields = fields


class NewKeySerializer(serializers.Serializer[Any]):
    """A key to be made; without ``allowed_models`` it may ask for all."""

    name = Label(max_length=80)
    scopes = serializers.ListField(
        child=serializers.ChoiceField(Scope.choices), default=list(DEFAULT_SCOPES), min_length=1, max_length=3
    )
    allowed_models = serializers.ListField(
        child=Label(max_length=LONGEST_NAME), default=list, max_length=MAX_MODELS
    )
    requests_per_minute = Whole(min_value=1, max_value=100_000, default=None, allow_null=True)
    tokens_per_day = Whole(min_value=1, max_value=MOST_TOKENS, default=None, allow_null=True)
    bytes_per_request = Whole(min_value=1, max_value=MOST_BYTES, default=None, allow_null=True)
    expires = serializers.DateTimeField(default=None, allow_null=True)


class MadeKeySerializer(KeySerializer):
    """A new key; ``token`` is shown this once."""

    token = serializers.CharField()

    class Meta(KeySerializer.Meta):
        fields = (*KeySerializer.Meta.fields, "token")


class KeyFilters(serializers.Serializer[Any]):
    name = Search(max_length=80, source="name__icontains")
    revoked = serializers.BooleanField(required=False, source="revoked__isnull")
    ordering = Ordering("created", "name", "last_used")

    def validate(self, given: dict[str, Any]) -> dict[str, Any]:
        return {name: not value if name == "revoked__isnull" else value for name, value in given.items()}


@extend_schema_view(
    list=extend_schema(summary="Your keys, the newest first"),
    retrieve=extend_schema(summary="One of your keys"),
    destroy=extend_schema(summary="Revoke a key; its row stays, for the usage that it has"),
)
class KeyViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.DestroyModelMixin,
    viewsets.GenericViewSet[ApiKey],
):
    queryset = ApiKey.objects.all()
    serializer_class = KeySerializer
    filters = KeyFilters
    lookup_value_converter = "int"
    owned = True

    def get_queryset(self) -> QuerySet[ApiKey]:
        return key_list(user=user_of(self.request))

    @extend_schema(summary="Make a key", request=NewKeySerializer, responses={201: MadeKeySerializer})
    def create(self, request: Request) -> Response:
        _check_login()
        body = NewKeySerializer(data=request.data)
        body.is_valid(raise_exception=True)
        key, token = key_create(user=user_of(request), **body.validated_data)
        made = {**KeySerializer(key).data, "token": token}
        return Response(made, status=status.HTTP_201_CREATED)

    def perform_destroy(self, instance: ApiKey) -> None:
        _check_login()
        key_revoke(key=instance)


def _check_login() -> None:
    """A key that could make keys could make one that may do more than itself."""
    if asker().key is not None:
        raise Forbidden("A key makes and revokes no keys. Log in, or use `manage.py apikey`.")
