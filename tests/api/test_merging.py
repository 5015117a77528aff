from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hugweb.api.merging import merge
from inference.errors import Busy, EngineDied
from inference.protocol import Done, Event, Events, Text, Usage


async def said(*events: Event, closed: list[int] | None = None) -> Events:
    try:
        for event in events:
            await asyncio.sleep(0)
            yield event
    finally:
        if closed is not None:
            closed.append(1)


async def forever(closed: list[int]) -> Events:
    try:
        yield Text(text="begun")
        await asyncio.Event().wait()
    finally:
        closed.append(1)


@given(st.lists(st.lists(st.text(max_size=3), max_size=5), min_size=1, max_size=5), st.integers(1, 3))
def test_every_stream_keeps_its_order_and_its_place(streams: list[list[str]], samples: int) -> None:
    async def run() -> list[Event]:
        usage = Usage(prompt=2, cached=1, completion=3)
        texts = [[Text(text=text, sample=samples - 1) for text in stream] for stream in streams]
        end = Done(reason="length", usage=usage)
        return [event async for event in merge([said(*one, end) for one in texts], samples)]

    *pieces, done = asyncio.run(run())
    found: dict[int, list[str]] = {}
    for piece in pieces:
        assert isinstance(piece, Text)
        found.setdefault(piece.sample, []).append(piece.text)
    wanted = {number * samples + samples - 1: stream for number, stream in enumerate(streams) if stream}
    assert found == wanted
    count = len(streams)
    assert done == Done(
        reason="length",
        reasons=("length",) * count * samples,
        usage=Usage(prompt=2 * count, cached=count, completion=3 * count),
    )


async def failing(error: Exception) -> Events:
    yield Text(text="one")
    raise error


@pytest.mark.parametrize("error", [Busy(), ValueError("a fault of ours")])
async def test_an_error_of_one_ends_all(error: Exception) -> None:
    closed: list[int] = []
    with pytest.raises(type(error)):
        async for _ in merge([forever(closed), failing(error), forever(closed)], 1):
            pass
    assert closed == [1, 1]


async def test_a_stream_that_just_ends_is_an_engine_that_died() -> None:
    with pytest.raises(EngineDied):
        async for _ in merge([said(Text(text="a"))], 1):
            pass


async def test_closing_closes_all_of_them() -> None:
    closed: list[int] = []
    merged = merge([forever(closed) for _ in range(3)], 1)
    seen = Counter([type(await anext(merged)) for _ in range(3)])
    assert seen == {Text: 3}
    await merged.aclose()
    assert closed == [1, 1, 1]
