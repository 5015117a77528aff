"""Pictures over HTTP: uploading one, looking at one, and removing one that was not sent.

Owners only: somebody else's picture is not there. Answers to scripts are JSON.
"""

from __future__ import annotations

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
        attachment = attachment_store(user=_user(request), data=_file(request))
    except InferenceError as error:
        return JsonResponse({"error": error.message}, status=error.status)
    url = reverse("attachment", args=[attachment.pk])
    return JsonResponse({"id": str(attachment.pk), "url": url}, status=201)


def _file(request: HttpRequest) -> bytes:
    file = request.FILES.get("file")
    if file is None:
        raise InvalidRequest("There is no file in the form.")
    if file.size is None or file.size > MOST_BYTES:
        raise TooLarge(f"The picture is larger than {MOST_BYTES // 2**20} MB. Make it smaller.")
    return file.read()


@login_required
@require_safe
def attachment(request: HttpRequest, attachment_id: UUID) -> HttpResponseBase:
    """The picture, as what it was found to be, never as what a browser may guess."""
    try:
        found = attachment_get(user=_user(request), attachment_id=attachment_id)
        data = media_read(found.pk)
    except (NotFound, FileNotFoundError) as error:
        raise Http404("There is no such picture.") from error
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
