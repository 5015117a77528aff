"""``/rest/attachments/``: one's own pictures, for messages of ``/stream-message``."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from conversations.attachments import attachment_remove, attachment_store
from conversations.models import Attachment
from conversations.pictures import TYPES
from conversations.uploads import picture_in, picture_response
from hugweb.api.rest.access import user_of
from hugweb.api.rest.filters import Ordering
from inference.errors import InvalidRequest


class AttachmentSerializer(serializers.ModelSerializer[Attachment]):
    """A picture; ``message`` is the one that it was sent with. ``size`` in bytes, sides in pixels."""

    class Meta:
        model = Attachment
        fields = ("id", "message", "type", "size", "width", "height", "sha256", "created")
        read_only_fields = fields


class UploadSerializer(serializers.Serializer[Any]):
    file = serializers.FileField(help_text="PNG, JPEG, WebP, GIF or BMP.")


class AttachmentFilters(serializers.Serializer[Any]):
    message = serializers.UUIDField(required=False, source="message_id")
    unsent = serializers.BooleanField(required=False, source="message__isnull")
    ordering = Ordering("created", "size")


class Anything(BaseContentNegotiation):
    """Whatever a client accepts: a picture is what it is, and errors are JSON."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


@extend_schema_view(
    list=extend_schema(summary="Your pictures, the newest first"),
    retrieve=extend_schema(summary="What is known of a picture"),
    destroy=extend_schema(summary="Forget a picture that was not sent"),
)
class AttachmentViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.DestroyModelMixin,
    viewsets.GenericViewSet[Attachment],
):
    queryset = Attachment.objects.all()
    serializer_class = AttachmentSerializer
    filters = AttachmentFilters
    lookup_value_converter = "uuid"
    parser_classes = (MultiPartParser,)
    owned = True

    def get_queryset(self) -> QuerySet[Attachment]:
        return Attachment.objects.filter(owner=user_of(self.request)).order_by("-created", "pk")

    @extend_schema(
        summary="Upload a picture",
        request={"multipart/form-data": UploadSerializer},
        responses={201: AttachmentSerializer},
    )
    def create(self, request: Request) -> Response:
        made = attachment_store(user=user_of(request), data=picture_in(request.FILES))
        return Response(AttachmentSerializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        summary="The picture itself",
        responses={(200, media_type): OpenApiTypes.BINARY for media_type in TYPES.values()},
    )
    @action(detail=True, content_negotiation_class=Anything)
    def file(self, request: Request, pk: Any) -> HttpResponseBase:
        return picture_response(request._request, user=user_of(request), attachment_id=pk)

    def perform_destroy(self, instance: Attachment) -> None:
        if instance.message_id:
            raise InvalidRequest("This picture was sent with a message; it goes with its conversation.")
        attachment_remove(user=user_of(self.request), attachment_id=instance.pk)
