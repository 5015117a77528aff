"""The addresses of our own API, under ``/rest/``."""

from __future__ import annotations

from django.urls import path
from rest_framework.routers import SimpleRouter

from hugweb.api.rest.access import entered
from hugweb.api.rest.aliases import AliasViewSet
from hugweb.api.rest.attachments import AttachmentViewSet
from hugweb.api.rest.conversations import ConversationViewSet, MessageViewSet
from hugweb.api.rest.docs import docs, schema
from hugweb.api.rest.keys import KeyViewSet
from hugweb.api.rest.models import ModelViewSet
from hugweb.api.rest.providers import ProviderViewSet
from hugweb.api.rest.usage import UsageViewSet

router = SimpleRouter(use_regex_path=False)
router.register("aliases", AliasViewSet, basename="rest-alias")
router.register("conversations", ConversationViewSet, basename="rest-conversation")
router.register("messages", MessageViewSet, basename="rest-message")
router.register("attachments", AttachmentViewSet, basename="rest-attachment")
router.register("models", ModelViewSet, basename="rest-model")
router.register("providers", ProviderViewSet, basename="rest-provider")
router.register("usage", UsageViewSet, basename="rest-usage")
router.register("keys", KeyViewSet, basename="rest-key")


routes = [
    *router.urls,
    path("schema/", schema, name="rest-schema"),
]
for route in routes:
    assert route.callback
    route.callback = entered(route.callback)
urlpatterns = [*routes, path("docs/", docs, name="rest-docs")]
