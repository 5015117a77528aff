"""Ollama's frames: our events as the JSON objects its clients read.

Fields that are zero or empty in Go are absent, durations are nanoseconds, and ``model`` is the
name exactly as it was asked for. Beyond Ollama: ``cached_tokens`` in the last frame, and with
``progress`` frames of what is being waited for. Source: Ollama's ``api/types.go`` as of v0.33; for
pictures, v0.14 to v0.32.5.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from hugweb.api.generation import Content, Folded, Sample
from inference.protocol import (
    Called,
    Done,
    Drawing,
    Loading,
    Logprob,
    Picture,
    Queued,
    Reading,
    Rendered,
    Text,
    Thought,
    ToolCall,
)

Frame = dict[str, Any]


def timestamp(moment: datetime | None = None) -> str:
    """``moment``, or now, as RFC 3339 in UTC."""
    return (moment or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


class Frames(ABC):
    """Writes the frames of one answer. ``images``: how many the request holds."""

    def __init__(self, model: str, *, images: int = 0) -> None:
        self._model = model
        self._images = images
        self._calls = 0

    def write(self, event: Content) -> Iterator[Frame]:
        """The frames of a stream that ``event`` becomes; none for text that is empty."""
        match event:
            case Text() | Thought() | Called():
                piece = Sample()
                piece.add(event)
                if piece != Sample():
                    yield self._frame(piece)
            case Drawing(done=done, total=total):
                yield self._frame(Sample()) | {"completed": done, "total": total}
            case Queued() | Loading() | Reading():
                yield self._frame(Sample()) | {"progress": _progress(event)}
            case Rendered(text=text):
                yield self.rendered(text)
            case Done() as done:
                yield self.done(done)

    def whole(self, folded: Folded) -> Frame:
        """The only frame of an answer that is not streamed."""
        for result in folded.results:
            if isinstance(result, Rendered):
                return self.rendered(result.text)
        return self.done(folded.done, folded.sample)

    def done(self, done: Done, sample: Sample | None = None) -> Frame:
        """The last frame, or the only one, with all of the text."""
        return self._frame(sample or Sample(), done=True) | _ending(done)

    def rendered(self, text: str) -> Frame:
        """What the model would have read."""
        debug = {"rendered_template": text} | ({"image_count": self._images} if self._images else {})
        return self._frame(Sample()) | {"_debug_info": debug}

    def _frame(self, sample: Sample, *, done: bool = False) -> Frame:
        frame = {"model": self._model, "created_at": timestamp(), **self._content(sample), "done": done}
        if sample.logprobs:
            frame["logprobs"] = [_logprob(entry) for entry in sample.logprobs]
        return frame

    def _call(self, call: ToolCall) -> Frame:
        """``call``, numbered within the answer; its name and arguments are all that it must have."""
        number, self._calls = self._calls, self._calls + 1
        function = {"index": number, "name": call.name, "arguments": call.arguments}
        return {"id": call.id or f"call_{secrets.token_hex(4)}", "function": function}

    @abstractmethod
    def _content(self, sample: Sample) -> Frame:
        """The part of a frame that holds ``sample``."""


class ChatFrames(Frames):
    """Frames of ``/api/chat``."""

    def _content(self, sample: Sample) -> Frame:
        message: Frame = {"role": "assistant", "content": sample.text}
        if sample.thinking:
            message["thinking"] = sample.thinking
        if sample.calls:
            message["tool_calls"] = [self._call(call) for call in sample.calls]
        return {"message": message}


class GenerateFrames(Frames):
    """Frames of ``/api/generate``. ``raw`` answers carry no context."""

    def __init__(self, model: str, *, images: int = 0, raw: bool = False) -> None:
        super().__init__(model, images=images)
        self._raw = raw

    def done(self, done: Done, sample: Sample | None = None) -> Frame:
        frame = super().done(done, sample)
        if done.context and not self._raw:
            frame["context"] = done.context
        return frame

    def _content(self, sample: Sample) -> Frame:
        thinking = {"thinking": sample.thinking} if sample.thinking else {}
        return {"response": sample.text, **thinking}


class DrawFrames(GenerateFrames):
    """Frames of ``/api/generate`` where it draws: steps, and a last one with the picture."""

    _picture: Picture | None = None

    def write(self, event: Content) -> Iterator[Frame]:
        if isinstance(event, Picture):
            self._picture = event
        else:
            yield from super().write(event)

    def whole(self, folded: Folded) -> Frame:
        self._picture = next((result for result in folded.results if isinstance(result, Picture)), None)
        return super().whole(folded)

    def done(self, done: Done, sample: Sample | None = None) -> Frame:
        frame = super().done(done, sample)
        return frame | ({"image": self._picture.data} if self._picture else {})


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
        "cached_tokens": done.usage.cached,
    }
    return {"done_reason": done.reason} | {name: value for name, value in metrics.items() if value}


def _progress(event: Queued | Loading | Reading) -> Frame:
    """What is being waited for: the place in the line, the load's seconds, or the prompt's tokens."""
    match event:
        case Queued(position=position):
            return {"state": "queued", "position": position}
        case Loading(seconds=seconds):
            return {"state": "loading", "seconds": seconds}
        case Reading(done=done, total=total):
            return {"state": "reading", "completed": done, "total": total}


def _logprob(entry: Logprob) -> Frame:
    """``entry``, and its alternatives where some were asked for."""
    shown = {"token": entry.text, "logprob": entry.logprob, "bytes": list(entry.raw)}
    return shown | ({"top_logprobs": [_logprob(other) for other in entry.top]} if entry.top else {})
