"""What OpenAI's answers have in common: ids, usage, logprobs, and events on the wire."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from inference.protocol import Logprob, Usage

Frame = dict[str, Any]

DONE = b"data: [DONE]\n\n"
IMPOSSIBLE = -9999.0
FINGERPRINT = "fp_hugweb"


@dataclass(frozen=True)
class Head:
    """What stands in every frame of one answer; ``model`` is the name exactly as it was asked for."""

    model: str
    id: str
    created: int = field(default_factory=lambda: int(time.time()))

    def frame(self, kind: str, choices: list[Frame]) -> Frame:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": FINGERPRINT,
            "choices": choices,
        }


def new_id(prefix: str) -> str:
    """A fresh id such as ``chatcmpl-5f…``."""
    return f"{prefix}{secrets.token_hex(12)}"


def data_frame(frame: Frame) -> bytes:
    """``frame`` as a server-sent event without a name."""
    return b"data: " + msgspec.json.encode(frame) + b"\n\n"


def usage_frame(usage: Usage, reasoning: int) -> Frame:
    """``usage``, of which ``reasoning`` tokens were thought."""
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


def logprobs_frame(logprobs: Iterable[Logprob]) -> list[Frame]:
    """Each token with its alternatives."""
    return [
        _logprob(logprob) | {"top_logprobs": [_logprob(other) for other in logprob.top]}
        for logprob in logprobs
    ]


def _logprob(logprob: Logprob) -> Frame:
    return {"token": logprob.text, "logprob": finite(logprob.logprob), "bytes": list(logprob.raw)}


def finite(logprob: float | None) -> float:
    """JSON has no infinity: a token that could not be chosen has OpenAI's word for that."""
    return 0.0 if logprob is None else max(logprob, IMPOSSIBLE)
