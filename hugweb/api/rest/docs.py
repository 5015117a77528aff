"""The description of our own API as a file, and as a page that asks nobody else for anything."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.renderers import TemplateHTMLRenderer


class DocsView(SpectacularSwaggerSplitView):
    """Swagger UI from our own machine. Its script is a file of its own, as our CSP wants it."""

    authentication_classes = ()
    permission_classes = ()
    renderer_classes = [TemplateHTMLRenderer]
    template_name = "rest/docs.html"
    url_name = "rest-schema"


schema = SpectacularAPIView.as_view(schema=None)
docs = login_required(DocsView.as_view())
