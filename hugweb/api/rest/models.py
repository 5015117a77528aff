"""``/rest/models/``: the models on this machine, and their coming and going."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
from asgiref.sync import async_to_sync
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from aliases.selectors import names_of
from hugweb.api.rest.fields import Search, Text
from hugweb.api.rest.filters import Ordering
from hugweb.jobs import PULL_JOBS, load_begin
from hugweb.pull_orders import pull_order
from inference.engines import engine_unload
from inference.models import ModelRecord
from inference.protocol import ModelRef
from inference.providers.configs import provider_check
from inference.store.names import LONGEST_NAME
from inference.store.progress import PullState
from inference.store.pulls import PULLS
from inference.store.services import model_delete

MANAGING = "inference.change_modelrecord"


class ModelSerializer(serializers.ModelSerializer[ModelRecord]):
    """A model. ``size`` and ``memory`` are bytes, ``capabilities`` words of Ollama's."""

    capabilities = serializers.ListField(child=serializers.CharField(), read_only=True)

    class Meta:
        model = ModelRecord
        fields = (
            *("id", "name", "provider", "source", "revision", "kind", "architecture", "capabilities"),
            *("parameters", "dtype", "quantization", "license", "size", "digest", "context_length"),
            *("embedding_length", "memory", "last_used", "created", "modified"),
        )
        read_only_fields = fields


class ModelFilters(serializers.Serializer[Any]):
    name = Search(max_length=LONGEST_NAME, source="name__icontains")
    provider = Search(max_length=32)
    kind = Search(max_length=32, source="kind__iexact")
    architecture = Search(max_length=64, source="architecture__iexact")
    ordering = Ordering("name", "size", "created", "modified", "last_used")


class WantedSerializer(serializers.Serializer[Any]):
    """What to pull: ``starter``, an alias, or ``org/name[@revision]``."""

    model = Text(max_length=300)


class PullSerializer(serializers.Serializer[Any]):
    """How far a pull is: ``state`` is progress, pulled or failed; bytes done of all that are known."""

    model = serializers.CharField()
    state = serializers.ChoiceField(("progress", "pulled", "failed"))
    step = serializers.CharField(allow_blank=True)
    done = serializers.IntegerField()
    total = serializers.IntegerField()
    message = serializers.CharField(allow_blank=True)


class BegunSerializer(serializers.Serializer[Any]):
    """What the model is on its way to."""

    status = serializers.ChoiceField(("loading", "loaded", "unloading"))


@extend_schema_view(
    list=extend_schema(summary="The models on this machine"),
    retrieve=extend_schema(summary="One model"),
    destroy=extend_schema(summary="Delete a model and its files"),
)
class ModelViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.DestroyModelMixin,
    viewsets.GenericViewSet[ModelRecord],
):
    queryset = ModelRecord.objects.all()
    serializer_class = ModelSerializer
    filters = ModelFilters
    lookup_value_converter = "int"
    permissions: ClassVar = {
        "pull": MANAGING,
        "load": MANAGING,
        "unload": MANAGING,
        "destroy": "inference.delete_modelrecord",
    }

    def perform_destroy(self, instance: ModelRecord) -> None:
        model_delete(record=instance, held_by=names_of(instance))

    @extend_schema(summary="Pull a model", request=WantedSerializer, responses={202: PullSerializer})
    @action(detail=False, methods=["post"])
    def pull(self, request: Request) -> Response:
        """Begin, or join in; it goes on by itself, and ``pulls`` tells how far it is."""
        body = WantedSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        order = pull_order(body.validated_data["model"])
        state = async_to_sync(PULL_JOBS.begin)(order)
        return Response(_pull(order.key, state), status=status.HTTP_202_ACCEPTED)

    @extend_schema(summary="What is being pulled", responses=PullSerializer(many=True), filters=False)
    @action(detail=False, pagination_class=None, filters=None)
    def pulls(self, request: Request) -> Response:
        return Response([_pull(key, state) for key, state in PULLS.current().items()])

    @extend_schema(summary="Load a model", request=None, responses={202: BegunSerializer})
    @action(detail=True, methods=["post"])
    def load(self, request: Request, pk: int) -> Response:
        """Begin; it goes on by itself."""
        record = self.get_object()
        provider_check(record.provider)
        state = async_to_sync(load_begin)(record.provider, _ref(record))
        return Response({"status": state}, status=status.HTTP_202_ACCEPTED)

    @extend_schema(summary="Unload a model", request=None, responses={202: BegunSerializer})
    @action(detail=True, methods=["post"])
    def unload(self, request: Request, pk: int) -> Response:
        """Let it go as soon as nobody uses it."""
        record = self.get_object()
        async_to_sync(engine_unload)(record.provider, _ref(record))
        return Response({"status": "unloading"}, status=status.HTTP_202_ACCEPTED)


def _ref(record: ModelRecord) -> ModelRef:
    return ModelRef(name=record.name, path=str(record.path), id=record.name)


def _pull(key: str, state: PullState) -> dict[str, Any]:
    """``state`` as ``PullSerializer`` describes it."""
    told = msgspec.to_builtins(state)
    return {
        "model": key,
        "state": told["type"],
        "step": told.get("step", ""),
        "done": getattr(state, "done", 0),
        "total": getattr(state, "total", 0),
        "message": told.get("message") or told.get("note", ""),
    }
