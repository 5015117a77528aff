"""What the views of the chat page answer that other programs can use too: pictures.

Said here, since what lies below the APIs knows nothing of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict
from uuid import UUID

from msgspec import Struct

from conversations import uploads
from hugweb.api.described import FORM, JSON, Operation

LOGIN: dict[int, dict[str, Any]] = {302: {}}
PICTURE = "image/*"


class Upload(Struct):
    """A form with a picture."""


class Uploaded(TypedDict):
    id: UUID
    url: str


PAGES: dict[Callable[..., Any], tuple[Operation, ...]] = {
    uploads.upload: (
        Operation(
            "Keep a picture for a message",
            methods=("POST",),
            takes={FORM: Upload},
            needs=("file",),
            files=("file",),
            owned=True,
            gives={JSON: Uploaded},
            statuses=(201,),
            others=LOGIN,
        ),
    ),
    uploads.attachment: (
        Operation(
            "Look at a picture",
            methods=("GET", "HEAD"),
            owned=True,
            gives={PICTURE: bytes},
            others={**LOGIN, 304: {}},
        ),
    ),
    uploads.remove: (
        Operation(
            "Forget a picture that was not sent",
            methods=("POST",),
            owned=True,
            statuses=(204,),
            others=LOGIN,
        ),
    ),
}
