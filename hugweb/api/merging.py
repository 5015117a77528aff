"""Several requests answered as one: their samples side by side, one end for all.

OpenAI's completions take a list of prompts; the engine takes one a request, and batches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from hugweb.api.generation import reason_of
from inference.errors import EngineDied
from inference.protocol import Called, Done, Event, Events, Text, Thought, Usage


async def merge(streams: Sequence[Events], samples: int) -> Events:
    """The events of ``streams`` as they come, of ``samples`` answers each.

    Sample ``s`` of stream ``i`` becomes sample ``i * samples + s``; one ``Done`` adds all of them up.
    The first error of any of them is the error of all, and closing this closes all of them.
    """
    waiting = {asyncio.create_task(_next(stream)): number for number, stream in enumerate(streams)}
    ends: dict[int, Done] = {}
    try:
        while waiting:
            ready, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in ready:
                number = waiting.pop(task)
                event = task.result()
                if isinstance(event, Done):
                    ends[number] = event
                else:
                    waiting[asyncio.create_task(_next(streams[number]))] = number
                    yield _shifted(event, number * samples)
        yield _end([ends[number] for number in range(len(streams))], samples)
    finally:
        await _close(list(waiting), streams)


async def _next(stream: Events) -> Event:
    async for event in stream:
        return event
    raise EngineDied


async def _close(tasks: list[asyncio.Task[Event]], streams: Sequence[Events]) -> None:
    """Cancel what is waited for, and only then close what it was waited for from."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for stream in streams:
        await stream.aclose()


def _shifted(event: Event, by: int) -> Event:
    if isinstance(event, Text | Thought | Called):
        return msgspec.structs.replace(event, sample=event.sample + by)
    return event


def _end(ends: Sequence[Done], samples: int) -> Done:
    usage = Usage(
        prompt=sum(end.usage.prompt for end in ends),
        cached=sum(end.usage.cached for end in ends),
        completion=sum(end.usage.completion for end in ends),
    )
    reasons = tuple(reason_of(end, sample) for end in ends for sample in range(samples))
    return Done(reason=reasons[0], reasons=reasons, usage=usage)
