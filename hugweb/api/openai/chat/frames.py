"""Chat completions as OpenAI writes them: one object, or chunks.

Thoughts go out as ``reasoning_content``, vLLM's and DeepSeek's name, and as ``reasoning``,
Ollama's and OpenRouter's: clients read one or the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from hugweb.api.generation import Content, Folded, Sample, reason_of
from hugweb.api.openai.frames import (
    DONE,
    Frame,
    Head,
    data_frame,
    logprobs_frame,
    new_id,
    usage_frame,
)
from inference.protocol import Called, Done, Logprob, Reason, Text, Thought, ToolCall


def completion(model: str, folded: Folded, *, with_functions: bool = False) -> Frame:
    """The whole answer as one object; ``with_functions``: a call is a ``function_call``, as it once was."""
    choices = [_choice(folded, number, with_functions) for number in range(len(folded.samples))]
    head = Head(model, new_id("chatcmpl-"))
    usage = usage_frame(folded.done.usage, folded.reasoning)
    return head.frame("chat.completion", choices) | {"usage": usage}


def _choice(folded: Folded, number: int, with_functions: bool) -> Frame:
    sample = folded.samples[number]
    return {
        "index": number,
        "message": _message(sample, with_functions),
        "logprobs": _logprobs(sample.logprobs),
        "finish_reason": _finish(folded.reason(number), bool(sample.calls), with_functions),
    }


def _message(sample: Sample, with_functions: bool) -> Frame:
    message: Frame = {"role": "assistant", "content": sample.text, "refusal": None}
    if sample.thinking:
        message |= _thought(sample.thinking)
    if sample.calls:
        message["content"] = sample.text or None
        if with_functions:
            message["function_call"] = _function(sample.calls[0])
        else:
            message["tool_calls"] = [_call(call) for call in sample.calls]
    return message


def _thought(text: str) -> Frame:
    return {"reasoning_content": text, "reasoning": text}


def _call(call: ToolCall) -> Frame:
    return {"id": call.id or new_id("call_"), "type": "function", "function": _function(call)}


def _function(call: ToolCall) -> Frame:
    return {"name": call.name, "arguments": msgspec.json.encode(call.arguments).decode()}


def _logprobs(logprobs: list[Logprob] | tuple[Logprob, ...]) -> Frame | None:
    return {"content": logprobs_frame(logprobs), "refusal": None} if logprobs else None


def _finish(reason: Reason, called: bool, with_functions: bool) -> str:
    """Calls take the place of ``stop`` only: an answer that was cut stays cut."""
    if called and reason == "stop":
        return "function_call" if with_functions else "tool_calls"
    return reason


@dataclass
class Chunks:
    """Writes one answer as a stream of chunks: call it with each event.

    Each of ``samples`` begins with its role and ends with its reason; then come the usage, if
    ``include_usage``, and the end of the stream.
    """

    model: str
    samples: int = 1
    include_usage: bool = False
    with_functions: bool = False
    _started: set[int] = field(default_factory=set)
    _calls: dict[int, int] = field(default_factory=dict)
    _reasoning: int = 0

    def __post_init__(self) -> None:
        self._head = Head(self.model, new_id("chatcmpl-"))

    def __call__(self, event: Content) -> Iterator[bytes]:
        match event:
            case Text() | Thought() | Called():
                yield from self._start(event.sample)
                yield self._chunk(event.sample, self._delta(event), logprobs=_logprobs(event.logprobs))
            case Done():
                yield from self._end(event)

    def _start(self, sample: int) -> Iterator[bytes]:
        if sample not in self._started:
            self._started.add(sample)
            yield self._chunk(sample, {"role": "assistant", "content": ""})

    def _delta(self, piece: Text | Thought | Called) -> Frame:
        match piece:
            case Thought(text=text, tokens=tokens):
                self._reasoning += tokens
                return _thought(text)
            case Called(call=call, sample=sample):
                index = self._calls.get(sample, 0)
                self._calls[sample] = index + 1
                if self.with_functions:
                    return {"function_call": _function(call)}
                return {"tool_calls": [{"index": index} | _call(call)]}
        return {"content": piece.text}

    def _end(self, done: Done) -> Iterator[bytes]:
        for sample in range(self.samples):
            yield from self._start(sample)
            finish = _finish(reason_of(done, sample), sample in self._calls, self.with_functions)
            yield self._chunk(sample, {}, finish=finish)
        if self.include_usage:
            yield self._frame([], usage_frame(done.usage, self._reasoning))
        yield DONE

    def _chunk(
        self, sample: int, delta: Frame, *, logprobs: Frame | None = None, finish: str | None = None
    ) -> bytes:
        return self._frame([{"index": sample, "delta": delta, "logprobs": logprobs, "finish_reason": finish}])

    def _frame(self, choices: list[Frame], usage: Any = None) -> bytes:
        frame = self._head.frame("chat.completion.chunk", choices)
        return data_frame(frame | {"usage": usage} if self.include_usage else frame)
