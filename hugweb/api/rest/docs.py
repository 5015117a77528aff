"""The description of all our APIs as a file, and as a page that asks nobody else for anything.

Making it takes about a second: whoever asks first has it made, in a thread of its own.
"""

from __future__ import annotations

import asyncio
import threading
from functools import cache
from typing import Any, Literal

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from drf_spectacular.views import SpectacularSwaggerSplitView
from msgspec import Struct
from rest_framework.renderers import TemplateHTMLRenderer

from hugweb.api.body import struct_of
from hugweb.api.described import JSON, Operation
from hugweb.api.endpoint import endpoint

YAML = "application/vnd.oai.openapi"
MAKING = threading.Lock()


class DocsView(SpectacularSwaggerSplitView):
    """Swagger UI from our own machine. Its script is a file of its own, as our CSP wants it."""

    authentication_classes = ()
    permission_classes = ()
    renderer_classes = [TemplateHTMLRenderer]
    template_name = "rest/docs.html"
    url_name = "rest-schema"


class DescriptionQuery(Struct, kw_only=True):
    """In which format; else as the request accepts it."""

    format: Literal["json", "yaml", ""] = ""


@Operation("All of this, for programs", parameters=DescriptionQuery, gives={YAML: str, JSON: dict[str, Any]})
@endpoint("GET", "HEAD")
async def schema(request: HttpRequest) -> HttpResponseBase:
    wanted = struct_of(request.GET.dict(), DescriptionQuery).format
    as_json = wanted == "json" or (not wanted and JSON in request.headers.get("Accept", ""))
    body = await asyncio.to_thread(_made, as_json=as_json)
    return HttpResponse(body, content_type=JSON if as_json else YAML)


def _made(*, as_json: bool) -> bytes:
    with MAKING:
        return _rendered(as_json=as_json)


@cache
def _rendered(*, as_json: bool) -> bytes:
    from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer

    kind = OpenApiJsonRenderer if as_json else OpenApiYamlRenderer
    rendered: bytes = kind().render(_description(), renderer_context={})
    return rendered


@cache
def _description() -> dict[str, Any]:
    from drf_spectacular.generators import SchemaGenerator

    described: dict[str, Any] = SchemaGenerator().get_schema(public=True)
    return described


docs = login_required(DocsView.as_view())
