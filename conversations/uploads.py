"""Pictures over HTTP: uploading one, looking at one, and removing one that was not sent.

Owners only: somebody else's picture is not there. Answers to scripts are JSON. ``/rest/attachments/``
reads and shows a picture by the same functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.urls import reverse
from django.utils.cache import get_conditional_response
from django.views.decorators.http import require_POST, require_safe

from conversations.attachments import attachment_remove, attachment_store
from conversations.media import media_read
from conversations.pictures import MOST_BYTES
from conversations.selectors import attachment_get
from inference.errors import InferenceError, InvalidRequest, NotFound, TooLarge


@login_required
@require_POST
def upload(request: HttpRequest) -> JsonResponse:
    """Keep the picture in the form's field ``file``: 201, with its ``id`` and ``url``."""
    try:
        attachment = attachment_store(user=_user(request), data=picture_in(request.FILES))
    except InferenceError as error:
        return JsonResponse({"error": error.message}, status=error.status)
    url = reverse("attachment", args=[attachment.pk])
    return JsonResponse({"id": str(attachment.pk), "url": url}, status=201)


def picture_in(files: Mapping[str, Any]) -> bytes:
    """The file in the form's field ``file``, within bounds."""
    file = files.get("file")
    if file is None:
        raise InvalidRequest("There is no file in the form.")
    if file.size is None or file.size > MOST_BYTES:
        raise TooLarge(f"The picture is larger than {MOST_BYTES // 2**20} MB. Make it smaller.")
    data: bytes = file.read()
    return data


@login_required
@require_safe
def attachment(request: HttpRequest, attachment_id: UUID) -> HttpResponseBase:
    """The picture, as what it was found to be, never as what a browser may guess."""
    try:
        return picture_response(request, user=_user(request), attachment_id=attachment_id)
    except NotFound as error:
        raise Http404("There is no such picture.") from error


def picture_response(request: HttpRequest, *, user: User, attachment_id: UUID) -> HttpResponseBase:
    """The file of ``user``'s picture, or 304 where it is known; ``NotFound``."""
    found = attachment_get(user=user, attachment_id=attachment_id)
    try:
        data = media_read(found.pk)
    except FileNotFoundError as error:
        raise NotFound("There is no such picture.") from error
    etag = f'"{found.sha256}"'
    headers = {
        "ETag": etag,
        # Asked for again each time, so that it cannot be seen after logging out.
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
        "Content-Disposition": f'inline; filename="picture.{found.type.partition("/")[2]}"',
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    response = HttpResponse(data, content_type=found.type, headers=headers)
    return get_conditional_response(request, etag=etag, response=response) or response


@login_required
@require_POST
def remove(request: HttpRequest, attachment_id: UUID) -> HttpResponse:
    """Forget a picture that has not been sent; 204 whether or not there was one."""
    attachment_remove(user=_user(request), attachment_id=attachment_id)
    return HttpResponse(status=204)


def _user(request: HttpRequest) -> User:
    assert request.user.is_authenticated
    return request.user
