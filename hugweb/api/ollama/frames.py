"""Ollama's frames: our events as the JSON objects its clients read.

Fields that are zero or empty in Go are absent, durations are nanoseconds, and ``model`` is the
name exactly as it was asked for. Source: Ollama's ``api/types.go`` as of v0.33.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from inference.protocol import Done

Frame = dict[str, Any]


def timestamp(moment: datetime | None = None) -> str:
    """``moment``, or now, as RFC 3339 in UTC."""
    return (moment or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


class FrameWriter(Protocol):
    """Writes the frames of one endpoint."""

    def text(self, text: str) -> Frame:
        """A frame in the middle."""

    def done(self, done: Done, text: str = "") -> Frame:
        """The last frame, or the only one, with all of the text."""


@dataclass(frozen=True)
class ChatFrames:
    """Frames of ``/api/chat``."""

    model: str

    def text(self, text: str) -> Frame:
        return self._frame(text, done=False)

    def done(self, done: Done, text: str = "") -> Frame:
        return self._frame(text, done=True) | _ending(done)

    def _frame(self, text: str, *, done: bool) -> Frame:
        return {
            "model": self.model,
            "created_at": timestamp(),
            "message": {"role": "assistant", "content": text},
            "done": done,
        }


@dataclass(frozen=True)
class GenerateFrames:
    """Frames of ``/api/generate``. ``raw`` answers carry no context."""

    model: str
    raw: bool = False

    def text(self, text: str) -> Frame:
        return self._frame(text, done=False)

    def done(self, done: Done, text: str = "") -> Frame:
        frame = self._frame(text, done=True) | _ending(done)
        if done.context and not self.raw:
            frame["context"] = done.context
        return frame

    def _frame(self, text: str, *, done: bool) -> Frame:
        return {"model": self.model, "created_at": timestamp(), "response": text, "done": done}


def _ending(done: Done) -> Frame:
    if done.reason in {"load", "unload"}:
        return {"done_reason": done.reason}
    metrics = {
        "total_duration": done.timings.total,
        "load_duration": done.timings.load,
        "prompt_eval_count": done.usage.prompt,
        "prompt_eval_duration": done.timings.prompt,
        "eval_count": done.usage.completion,
        "eval_duration": done.timings.completion,
    }
    return {"done_reason": done.reason} | {name: value for name, value in metrics.items() if value}
