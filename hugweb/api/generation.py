"""The one generation path behind all dialects: events that have begun, and events folded into one.

A dialect turns its request into ours, calls ``begin``, and writes the events as its frames, or
calls ``fold`` and writes one answer. Knows nothing of any dialect.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from inference.errors import EngineDied
from inference.protocol import Done, Events, Text

Answer = AsyncGenerator[Text | Done, None]


async def begin(events: Events) -> Answer:
    """``events`` from their first text on, which is already there when this returns.

    Whatever can fail before that (no such model, no memory, no engine) is raised here, while the
    response can still carry a status.
    """
    answer = _content(events)
    try:
        first = await anext(answer)
    except StopAsyncIteration as error:
        raise EngineDied from error
    except BaseException:
        await events.aclose()
        raise
    return _resumed(first, answer)


async def _content(events: Events) -> Answer:
    async with contextlib.aclosing(events):
        async for event in events:
            if isinstance(event, Text | Done):
                yield event


async def _resumed(first: Text | Done, rest: Answer) -> Answer:
    async with contextlib.aclosing(rest):
        yield first
        async for event in rest:
            yield event


@dataclass(frozen=True)
class Folded:
    """A whole answer."""

    text: str
    done: Done


async def fold(answer: Answer) -> Folded:
    """The whole of ``answer``; its error is raised."""
    parts: list[str] = []
    async with contextlib.aclosing(answer):
        async for event in answer:
            if isinstance(event, Done):
                return Folded("".join(parts), event)
            parts.append(event.text)
    raise EngineDied
