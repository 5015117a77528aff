"""What is here and what is running: version, status, tags and ps of Ollama's native API."""

from __future__ import annotations

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponseBase

from hugweb import __version__
from hugweb.api.described import JSON, Operation
from hugweb.api.endpoint import endpoint
from hugweb.api.ollama import listing
from hugweb.api.ollama.answers import CloudStatus, ModelList, RunningList, Version
from hugweb.api.responses import json_response
from inference.providers.registry import get_provider

# Clients switch features on by the version; this is the Ollama whose API we follow.
OLLAMA_VERSION = "0.33.0"


@Operation("The version of the API", gives={JSON: Version})
@endpoint("GET", "HEAD")
async def version(request: HttpRequest) -> HttpResponseBase:
    return json_response({"version": OLLAMA_VERSION, "hugweb": __version__})


@Operation("Whether anything here asks a cloud: never", gives={JSON: CloudStatus})
@endpoint("GET")
async def status(request: HttpRequest) -> HttpResponseBase:
    """Nothing here ever asks ollama.com."""
    return json_response({"cloud": {"disabled": True, "source": "none"}})


@Operation("Every model, and every alias of one", gives={JSON: ModelList})
@endpoint("GET", "HEAD")
async def tags(request: HttpRequest) -> HttpResponseBase:
    return json_response({"models": await sync_to_async(listing.tags)()})


@Operation("What is in memory", gives={JSON: RunningList})
@endpoint("GET")
async def ps(request: HttpRequest) -> HttpResponseBase:
    models = await get_provider("huggingface").loaded()
    return json_response({"models": await sync_to_async(listing.running)(models)})
