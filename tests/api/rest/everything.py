"""An engine that answers every kind of request, and models that can do all there is, to be asked anything."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator

from inference.protocol import (
    Called,
    Detokenize,
    Done,
    Draw,
    Drawing,
    Embed,
    Embedded,
    Event,
    Generate,
    Load,
    Logprob,
    Picture,
    Ranked,
    Rendered,
    Request,
    Rerank,
    Text,
    Thought,
    Tokenize,
    Tokens,
    ToolCall,
    Unload,
    Usage,
)

ABLE, DRAWS = "test/able", "test/draws"
MODELS = f"""
import django; django.setup()
from inference.models import ModelRecord
able = ["completion", "tools", "thinking", "vision", "audio", "insert", "embedding", "rerank"]
for name, capabilities in (({ABLE!r}, able), ({DRAWS!r}, ["image"])):
    ModelRecord.objects.update_or_create(name=name, defaults=dict(
        source="store", folder=name, architecture="llama", capabilities=capabilities,
        parameters=1000, dtype="BF16", size=2000, digest="2" * 64, context_length=2048,
    ))
"""
LOGPROB = Logprob(
    token=1,
    text="a",
    logprob=-0.5,
    raw=b"a",
    top=(Logprob(token=2, text="b", logprob=float("-inf"), raw=b"b"),),
)


async def answer(request: Request) -> AsyncIterator[Event]:
    """Each kind of event that an engine may send to ``request``."""
    reason = "load" if isinstance(request, Load) else "unload" if isinstance(request, Unload) else "stop"
    match request:
        case Generate(render_only=True):
            yield Rendered(text="one", tokens=3)
        case Generate():
            for event in _generated(request):
                yield event
        case Embed(texts=texts):
            yield Embedded(vectors=struct.pack("<2f", 0.6, 0.8) * len(texts), width=2)
        case Rerank(documents=documents):
            yield Ranked(scores=tuple(1 / (1 + number) for number in range(len(documents))))
        case Draw(count=count):
            yield Drawing(done=1, total=2)
            for seed in range(count):
                yield Picture(data=b"\x89PNG", seed=seed)
        case Tokenize():
            yield Tokens(tokens=(1, 2))
        case Detokenize():
            yield Text(text="one two")
    yield Done(reason=reason, usage=Usage(prompt=3, completion=2, cached=1), context=(1, 2))


def _generated(request: Generate) -> list[Event]:
    logprobs = () if request.logprobs is None else (LOGPROB,)
    events: list[Event] = []
    for sample in range(request.samples):
        if request.think:
            events.append(Thought(text="hm", tokens=1, sample=sample))
        events.append(Text(text="one ", sample=sample, logprobs=logprobs))
        if request.tools and request.tool_choice != "none":
            call = ToolCall(name=request.tools[0].name, arguments={"a": 1})
            events.append(Called(call=call, sample=sample))
    return events
