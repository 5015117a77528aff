"""Requests that come as a form with files, as OpenAI's client sends pictures and sound."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest
from django.http.multipartparser import MultiPartParserError

from hugweb.api.body import Body, parse, struct_of
from inference.errors import InvalidRequest

Files = dict[str, list[bytes]]
KEEP_ALIVE = "keep_alive"


async def read_form(request: HttpRequest, kind: type[Body]) -> tuple[Body, Files]:
    """The fields of a form as a ``kind``, its numbers read from text, and its files by name.

    JSON is taken as well; it has no files. ``name[]``, as lists are sent, is ``name``, a list.
    """
    if request.content_type != "multipart/form-data":
        return parse(request.body, kind), {}
    fields, files = await sync_to_async(_parts)(request)
    return struct_of(_with_numbers(fields), kind, strict=False), files


def _with_numbers(fields: dict[str, Any]) -> dict[str, Any]:
    """``fields`` with a number where a field, which its type does not tell, is a number or a text."""
    try:
        return fields | {KEEP_ALIVE: float(fields[KEEP_ALIVE])}
    except (KeyError, ValueError):
        return fields


def _parts(request: HttpRequest) -> tuple[dict[str, Any], Files]:
    """Taken apart in a thread: it can be many megabytes, and Django keeps large files on disk."""
    try:
        posted = request.POST
    except MultiPartParserError as error:
        raise InvalidRequest(f"The form is malformed: {error}") from error
    fields: dict[str, Any] = {name: value for name, value in posted.items() if value != ""}
    for name in [name for name in fields if name.endswith("[]")]:
        del fields[name]
        fields[name.removesuffix("[]")] = posted.getlist(name)
    files: Files = {}
    for name, uploads in request.FILES.lists():
        files.setdefault(name.removesuffix("[]"), []).extend(upload.read() for upload in uploads)
    return fields, files
