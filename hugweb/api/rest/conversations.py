"""``/rest/conversations/`` and ``/rest/messages/``: one's own, somebody else's are not there.

What is said comes from the chat or ``/stream-message``; here it is read, named and deleted.
"""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from conversations.models import Conversation, Message
from conversations.services import conversation_delete, conversation_rename
from hugweb.api.rest.access import user_of
from hugweb.api.rest.fields import Label, Search
from hugweb.api.rest.filters import Ordering
from inference.store.names import LONGEST_NAME


class ConversationSerializer(serializers.ModelSerializer[Conversation]):
    """A conversation; ``active_leaf`` is the last message of its active branch."""

    title = Label(max_length=Conversation._meta.get_field("title").max_length)

    class Meta:
        model = Conversation
        fields = ("id", "title", "model", "model_provider", "active_leaf", "created", "updated")
        read_only_fields = tuple(name for name in fields if name != "title")


class MessageSerializer(serializers.ModelSerializer[Message]):
    """A message. One that is being written is as old as its last checkpoint; times in nanoseconds.
    ``attachments`` are the ids of its pictures, ``thinking`` is what the model thought before it wrote,
    ``note`` what was done other than asked."""

    attachments = serializers.PrimaryKeyRelatedField[Any](many=True, read_only=True)

    class Meta:
        model = Message
        fields = (
            *(
                "id",
                "conversation",
                "parent",
                "role",
                "content",
                "thinking",
                "attachments",
                "note",
                "status",
                "error",
                "created",
            ),
            *("model_provider", "model", "finish_reason", "prompt_tokens", "completion_tokens"),
            *("load_ns", "prompt_ns", "thinking_ns", "completion_ns", "total_ns"),
        )
        read_only_fields = fields


class ConversationFilters(serializers.Serializer[Any]):
    title = Search(max_length=120, source="title__icontains")
    model = Search(max_length=LONGEST_NAME, source="model__iexact")
    updated_after = serializers.DateTimeField(required=False, source="updated__gt")
    ordering = Ordering("updated", "created", "title")


class MessageFilters(serializers.Serializer[Any]):
    conversation = serializers.UUIDField(required=False, source="conversation_id")
    role = serializers.ChoiceField(Message.Role.choices, required=False)
    status = serializers.ChoiceField(Message.Status.choices, required=False)
    content = Search(max_length=200, source="content__icontains")
    ordering = Ordering("created")


@extend_schema_view(
    list=extend_schema(summary="Your conversations, the latest first"),
    retrieve=extend_schema(summary="One of your conversations"),
    partial_update=extend_schema(summary="Rename a conversation"),
    destroy=extend_schema(summary="Delete a conversation with all that was said in it"),
)
class ConversationViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.DestroyModelMixin,
    viewsets.GenericViewSet[Conversation],
):
    queryset = Conversation.objects.all()
    serializer_class = ConversationSerializer
    filters = ConversationFilters
    lookup_value_converter = "uuid"
    http_method_names = ("get", "head", "options", "patch", "delete")
    owned = True

    def get_queryset(self) -> QuerySet[Conversation]:
        return Conversation.objects.filter(user=user_of(self.request))

    def partial_update(self, request: Request, pk: Any) -> Response:
        talk = self.get_object()
        body = ConversationSerializer(talk, data=request.data, partial=True)
        body.is_valid(raise_exception=True)
        if title := body.validated_data.get("title"):
            talk = conversation_rename(user=user_of(request), conversation_id=talk.pk, title=title)
        return Response(ConversationSerializer(talk).data)

    def perform_destroy(self, instance: Conversation) -> None:
        conversation_delete(user=user_of(self.request), conversation_id=instance.pk)


@extend_schema_view(
    list=extend_schema(summary="The messages of your conversations, the oldest first"),
    retrieve=extend_schema(summary="One message"),
)
class MessageViewSet(viewsets.ReadOnlyModelViewSet[Message]):
    queryset = Message.objects.all()
    serializer_class = MessageSerializer
    filters = MessageFilters
    lookup_value_converter = "uuid"
    owned = True

    def get_queryset(self) -> QuerySet[Message]:
        return Message.objects.filter(conversation__user=user_of(self.request)).prefetch_related(
            "attachments"
        )
