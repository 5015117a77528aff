"""The batch of an encoder, with passes that the test controls."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from inference.engine.encoder_batch import MOST_ROWS, MOST_TOKENS, EncoderBatch, Encoding, Job
from inference.errors import InferenceError
from inference.protocol import Queued, Reading

BROKEN = 7


def encoded(texts: Sequence[Encoding]) -> list[int]:
    """What a text's first token is; the pass fails for ``BROKEN``."""
    if any(text["input_ids"][0] == BROKEN for text in texts):
        raise InferenceError("It cannot be read.")
    return [text["input_ids"][0] for text in texts]


def job(*first: int) -> Job:
    return Job([{"input_ids": [token] * 10} for token in first])


async def finished(batch: EncoderBatch) -> None:
    """Another request that comes later has been answered."""
    other = job(1)
    async for _ in batch.run(other):
        pass
    assert other.results == [1]


@pytest.mark.parametrize("queued", [False, True])
async def test_a_text_that_fails_while_nobody_looks_is_an_error(queued: bool) -> None:
    """Whoever asked takes its time over the first event; meanwhile all of its passes come to their end."""
    batch = EncoderBatch(encoded, max_queue=8, most=MOST_TOKENS)
    if queued:
        first = batch.run(job(1))
        asked = batch.run(job(BROKEN))
        begun = asyncio.ensure_future(anext(first))
        await asyncio.sleep(0)
        assert await anext(asked) == Queued(position=1)
        assert isinstance(await begun, Reading)
    else:
        # The last text goes first.
        asked = batch.run(job(BROKEN, *[1] * MOST_ROWS))
        assert isinstance(await anext(asked), Reading)
    await finished(batch)
    with pytest.raises(InferenceError, match="cannot be read"):
        async for _ in asked:
            pass
    await finished(batch)
    batch.close()
