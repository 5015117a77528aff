"""What page and server say to each other over the websocket, as JSON objects with a ``type``.

Knows nothing of what is done with it.
"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from msgspec import DecodeError, Meta, Struct, json

from conversations.answer import Phase, Stats
from conversations.attachments import MOST_PICTURES
from inference.errors import InferenceError, InvalidRequest
from inference.store.names import LONGEST_NAME

LONGEST_TEXT = 200_000

Version = Annotated[int, Meta(ge=0)]


class Send(Struct, frozen=True, tag="send"):
    """Answer ``text`` and the uploaded pictures; without a conversation in a new one."""

    text: Annotated[str, Meta(max_length=LONGEST_TEXT)]
    model: Annotated[str, Meta(max_length=LONGEST_NAME)]
    conversation: UUID | None = None
    attachments: Annotated[tuple[UUID, ...], Meta(max_length=MOST_PICTURES)] = ()


class Attach(Struct, frozen=True, tag="attach"):
    """Send the answer ``message``, but for what the page has: all up to ``version``."""

    conversation: UUID
    message: UUID
    version: Version = 0


class Detach(Struct, frozen=True, tag="detach"):
    """Send no more of the answer."""


class Stop(Struct, frozen=True, tag="stop"):
    """Stop writing the answer ``message``."""

    message: UUID


class Started(Struct, frozen=True, kw_only=True, tag="started"):
    """A turn has begun. ``html`` are its question and its answer, ``entry`` its conversation.

    ``after`` is the message before them, which a page that was left open elsewhere may not have.
    """

    conversation: UUID
    message: UUID
    after: UUID | None
    title: str
    url: str
    html: str
    entry: str


class Update(Struct, frozen=True, kw_only=True, tag="update"):
    """The blocks that changed, each with its place, out of ``count``; likewise the thoughts' blocks."""

    message: UUID
    version: int
    phase: Phase
    blocks: list[tuple[int, str]]
    count: int
    stats: Stats
    thoughts: list[tuple[int, str]] = []
    thoughts_count: int = 0


class Problem(Struct, frozen=True, kw_only=True, tag="error"):
    """What went wrong, in words, and whether asking again may help."""

    code: str
    message: str
    retryable: bool

    @classmethod
    def of(cls, error: InferenceError) -> Problem:
        return cls(code=error.code, message=error.message, retryable=error.retryable)


class Ended(Struct, frozen=True, kw_only=True, tag="ended"):
    """Nothing more will come. ``foot`` is what stands below the answer from now on."""

    message: UUID
    status: str
    foot: str
    error: Problem | None = None


Asked = Send | Attach | Detach | Stop
Said = Started | Update | Ended | Problem

_asked = json.Decoder(Asked)


def decode(text: str | None) -> Asked:
    """What the page asks for; ``InvalidRequest`` when it cannot be understood."""
    try:
        return _asked.decode(text or "")
    except (DecodeError, UnicodeError) as error:
        raise InvalidRequest(f"The message is malformed: {error}") from error


def encode(said: Said) -> str:
    """``said`` as it goes over the socket."""
    return json.encode(said).decode()
