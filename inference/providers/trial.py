"""Asking a provider for a few words, to see whether and how fast it answers.

Goes to the provider itself, so that one can be tried before it is switched on.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass

from inference.errors import InferenceError, TimedOut
from inference.models import ModelRecord
from inference.protocol import Done, Generate, Message, ModelRef, Options, Text, Thought, Timings, Usage
from inference.providers.registry import get_provider

QUESTION = "Say hello, and name one thing that you can help with."
LONGEST_ANSWER = 32
LONGEST_SECONDS = 120.0


@dataclass(frozen=True)
class Trial:
    """What came of it: ``error`` in words for people, or an answer. Times in seconds."""

    model: str
    text: str = ""
    error: str = ""
    first_token: float | None = None
    rate: float | None = None
    """Tokens per second, from the first one on."""
    load: float = 0.0


def trial_model(provider: str) -> ModelRecord | None:
    """The model that is tried where nobody says which: the one used last that writes, else the smallest."""
    writing = [
        record
        for record in ModelRecord.objects.filter(provider=provider)
        if "completion" in (record.capabilities or ["completion"])
    ]
    used = [record for record in writing if record.last_used]
    if used:
        return max(used, key=lambda record: record.last_used or record.created)
    return min(writing, key=lambda record: record.size, default=None)


async def provider_try(provider: str, record: ModelRecord) -> Trial:
    """Have ``record`` answer a short question."""
    model = ModelRef(name=record.name, path=str(record.path), id=record.name)
    request = Generate(
        model=model,
        messages=(Message(role="user", content=QUESTION),),
        options=Options(num_predict=LONGEST_ANSWER, temperature=0.0),
    )
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            return await _answered(provider, request)
    except TimeoutError:
        error: InferenceError = TimedOut(f"No answer within {LONGEST_SECONDS:.0f} s.")
    except InferenceError as raised:
        error = raised
    return Trial(record.name, error=error.message)


async def _answered(provider: str, request: Generate) -> Trial:
    began = time.monotonic()
    first: float | None = None
    text, usage, timings = "", Usage(), Timings()
    async with contextlib.aclosing(get_provider(provider).stream(request)) as events:
        async for event in events:
            match event:
                case Text(text=more) | Thought(text=more):
                    first = first or time.monotonic()
                    text += more
                case Done():
                    usage, timings = event.usage, event.timings
    writing = time.monotonic() - first if first else 0.0
    return Trial(
        request.model.name,
        text=text.strip(),
        first_token=first - began if first else None,
        rate=(usage.completion - 1) / writing if usage.completion > 1 and writing > 0 else None,
        load=timings.load / 1e9,
    )
