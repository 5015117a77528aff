"""What is answered where there is nothing else: at the root, and where something went wrong.

An API path with slashes too many, as of a client whose address ends with one, is sent to the right one, as
by Ollama. On API paths in the shape of the path's dialect, elsewhere by a line, for browsers by a page.
"""

from __future__ import annotations

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import resolve
from django.utils.encoding import escape_uri_path
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.vary import vary_on_headers

from hugweb.api.described import TEXT, Operation
from hugweb.api.responses import empty_response
from hugweb.api.shape import error_response, speaks_json, wants_page
from inference.errors import Forbidden, InferenceError, InvalidRequest, MethodNotAllowed, NotFound, TooLarge

NOT_FOUND = NotFound("404 page not found")
NOT_ALLOWED = MethodNotAllowed("405 method not allowed")


@Operation("Whether anything is here", methods=("GET", "HEAD"), gives={TEXT: str}, others={302: {}})
@csrf_exempt
@vary_on_headers("Accept")
async def root(request: HttpRequest) -> HttpResponseBase:
    """What Ollama's clients look for, or the way to the chat for a browser."""
    if request.method not in {"GET", "HEAD"}:
        response = error_response(request.path, NOT_ALLOWED)
        response["Allow"] = "GET, HEAD"
        return response
    if wants_page(request.headers.get("Accept", "")):
        return redirect("chat")
    return HttpResponse("Ollama is running", content_type="text/plain; charset=utf-8")


@csrf_exempt
async def unknown(request: HttpRequest) -> HttpResponse:
    """An API path that nothing answers. A view, since Django asks no handler when debugging."""
    return _straightened(request) or error_response(request.path, NOT_FOUND)


@csrf_exempt
async def doubled(request: HttpRequest) -> HttpResponse:
    """A path that begins with several slashes."""
    return _straightened(request) or not_found(request, NOT_FOUND)


def _straightened(request: HttpRequest) -> HttpResponse | None:
    """The way to the API's path that is meant where this one has slashes too many; the method stays."""
    path = "/" + "/".join(filter(None, request.path.split("/")))
    if path == request.path or not speaks_json(path) or resolve(path).func in (unknown, doubled):
        return None
    response = empty_response(301 if request.method == "GET" else 307)
    query = request.META.get("QUERY_STRING", "")
    response["Location"] = escape_uri_path(path) + (f"?{query}" if query else "")
    return response


def _is_for_people(request: HttpRequest) -> bool:
    """Whether a browser asks for a page: programs are told in a line or in JSON, also at an address that
    is none, such as one that lacks its `/v1`."""
    return not speaks_json(request.path) and wants_page(request.headers.get("Accept", ""))


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _is_for_people(request):
        return defaults.bad_request(request, exception)
    if isinstance(exception, RequestDataTooBig):
        return error_response(request.path, TooLarge("The request is too large."))
    return error_response(request.path, InvalidRequest("The request is malformed."))


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _is_for_people(request):
        return defaults.permission_denied(request, exception)
    return error_response(request.path, Forbidden("You may not do that."))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _is_for_people(request):
        return defaults.page_not_found(request, exception)
    return error_response(request.path, NOT_FOUND)


def server_error(request: HttpRequest) -> HttpResponse:
    if _is_for_people(request):
        return defaults.server_error(request)
    return error_response(request.path, InferenceError())
