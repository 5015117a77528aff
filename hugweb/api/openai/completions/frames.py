"""Completions as OpenAI writes them: one object or chunks, with logprobs in their older shape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from hugweb.api.generation import Content, Folded, Sample, reason_of
from hugweb.api.openai.frames import DONE, Frame, Head, data_frame, finite, new_id, usage_frame
from inference.protocol import Done, Logprob, Text

KIND = "text_completion"


def completion(model: str, folded: Folded, *, n: int, samples: int, logprobs: bool) -> Frame:
    """The whole answer as one object: of each prompt's ``samples`` the ``n`` best."""
    chosen = [
        number
        for first in range(0, len(folded.samples), samples)
        for number in _best(folded.samples, range(first, first + samples), n)
    ]
    choices = [
        _choice(
            index,
            folded.samples[number].text,
            legacy_logprobs(folded.samples[number].logprobs, 0) if logprobs else None,
            folded.reason(number),
        )
        for index, number in enumerate(chosen)
    ]
    usage = usage_frame(folded.done.usage, folded.reasoning)
    return Head(model, new_id("cmpl-")).frame(KIND, choices) | {"usage": usage}


def _best(samples: Sequence[Sample], numbers: range, n: int) -> Sequence[int]:
    """The ``n`` whose tokens were the likeliest on average."""
    if n == len(numbers):
        return numbers
    return sorted(numbers, key=lambda number: _likelihood(samples[number]), reverse=True)[:n]


def _likelihood(sample: Sample) -> float:
    known = [one.logprob for one in sample.logprobs if one.logprob is not None]
    return sum(known) / len(known) if known else float("-inf")


def _choice(index: int, text: str, logprobs: Frame | None, finish: str | None) -> Frame:
    return {"text": text, "index": index, "logprobs": logprobs, "finish_reason": finish}


def legacy_logprobs(logprobs: Sequence[Logprob], offset: int) -> Frame:
    """Four lists side by side; ``offset`` is where in the text the first token begins.

    The token itself is among its alternatives even where it was none of the likeliest.
    """
    offsets = []
    for one in logprobs:
        offsets.append(offset)
        offset += len(one.text)
    return {
        "tokens": [one.text for one in logprobs],
        "token_logprobs": [None if one.logprob is None else finite(one.logprob) for one in logprobs],
        "top_logprobs": [_top(one) for one in logprobs],
        "text_offset": offsets,
    }


def _top(one: Logprob) -> dict[str, float] | None:
    if one.logprob is None:
        return None
    return {other.text: finite(other.logprob) for other in (one, *one.top)}


@dataclass
class Chunks:
    """Writes ``samples`` answers as a stream of chunks: call it with each event."""

    model: str
    samples: int = 1
    logprobs: bool = False
    include_usage: bool = False
    _offsets: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._head = Head(self.model, new_id("cmpl-"))

    def __call__(self, event: Content) -> Iterator[bytes]:
        if isinstance(event, Text):
            yield self._frame([_choice(event.sample, event.text, self._logprobs(event), None)])
        elif isinstance(event, Done):
            for sample in range(self.samples):
                yield self._frame([_choice(sample, "", None, reason_of(event, sample))])
            if self.include_usage:
                yield self._frame([], usage_frame(event.usage, 0))
            yield DONE

    def _logprobs(self, piece: Text) -> Frame | None:
        if not self.logprobs:
            return None
        offset = self._offsets.get(piece.sample, 0)
        self._offsets[piece.sample] = offset + sum(len(one.text) for one in piece.logprobs)
        return legacy_logprobs(piece.logprobs, offset)

    def _frame(self, choices: list[Frame], usage: Any = None) -> bytes:
        frame = self._head.frame(KIND, choices)
        return data_frame(frame | {"usage": usage} if self.include_usage else frame)
