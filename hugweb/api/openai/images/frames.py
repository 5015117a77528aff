"""Pictures as OpenAI writes them: one object, or an event for each that is finished."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from hugweb.api.generation import Content, Folded
from hugweb.api.openai.frames import Frame
from inference.protocol import Picture


def pictures(folded: Folded, *, as_url: bool, size: str) -> Frame:
    """All pictures. As URLs they are ``data:`` URLs: nothing is kept here that could be fetched later."""
    found = [result for result in folded.results if isinstance(result, Picture)]
    return {
        "created": int(time.time()),
        "data": [_picture(picture, as_url=as_url) for picture in found],
        "output_format": "png",
        "size": size,
    }


def _picture(picture: Picture, *, as_url: bool) -> Frame:
    encoded = base64.b64encode(picture.data).decode()
    shown = {"url": f"data:image/png;base64,{encoded}"} if as_url else {"b64_json": encoded}
    return shown | {"seed": picture.seed}


@dataclass(frozen=True)
class PictureEvents:
    """Writes one ``image_generation.completed`` or ``image_edit.completed`` for each picture."""

    kind: str
    size: str

    def __call__(self, event: Content) -> Iterator[bytes]:
        if isinstance(event, Picture):
            body = msgspec.json.encode(self._frame(event))
            yield b"event: %s\ndata: %s\n\n" % (self.kind.encode(), body)

    def _frame(self, picture: Picture) -> Frame:
        nothing = {"image_tokens": 0, "text_tokens": 0}
        return _picture(picture, as_url=False) | {
            "type": self.kind,
            "created_at": int(time.time()),
            "background": "opaque",
            "output_format": "png",
            "quality": "auto",
            "size": self.size,
            "usage": {
                "input_tokens": 0,
                "input_tokens_details": nothing,
                "output_tokens": 0,
                "total_tokens": 0,
            },
        }
