"""What is heard as OpenAI streams it: an event for each piece as it is understood, one for all at the end."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from hugweb.api.generation import Content
from inference.protocol import Done, Text


class HeardEvents:
    """Writes one transcription: call it with each event."""

    def __init__(self) -> None:
        self._text = ""

    def __call__(self, event: Content) -> Iterator[bytes]:
        match event:
            case Text():
                # Models begin with the space between two words.
                piece = event.text if self._text else event.text.lstrip()
                self._text += piece
                if piece:
                    yield _event("transcript.text.delta", delta=piece)
            case Done():
                yield _event("transcript.text.done", text=self._text.rstrip())


def _event(kind: str, **content: str) -> bytes:
    body = msgspec.json.encode({"type": kind, **content})
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), body)
