"""Counting streams: whatever becomes of one, it is counted once, with what was passed on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User

from inference.asker import Asker, asking
from inference.errors import EngineDied, LoadFailed
from inference.protocol import (
    Done,
    Draw,
    Event,
    Failed,
    Generate,
    Load,
    Message,
    ModelRef,
    Picture,
    Reading,
    Request,
    Text,
    Thought,
    Tokenize,
    Tokens,
    Usage,
)
from inference.providers.registry import get_provider
from inference.usage.models import UsageDay, UsageRecord
from inference.usage.recorder import RECORDER
from tests.fakes import FakeEngine

pytestmark = pytest.mark.django_db(transaction=True)

MODEL = ModelRef(name="small", path="/m", id="org/model")
ASK = Generate(model=MODEL, messages=(Message(role="user", content="one two three"),))


async def answers(request: Request) -> AsyncIterator[Event]:
    yield Reading(done=0, total=7)
    yield Thought(text="hm", tokens=2)
    yield Text(text="yes")
    yield Text(text="!", tokens=3)
    yield Done(reason="stop", usage=Usage(prompt=7, cached=3, completion=6))


async def ask(request: Request = ASK, *, most: int = 99, who: Asker | None = None) -> int:
    """Ask, and leave after ``most`` events; how many came."""
    with asking(who or Asker(source="ollama")):
        stream = get_provider("huggingface").stream(request)
    count = 0
    async with aclosing(stream) as events:
        async for _ in events:
            count += 1
            if count == most:
                break
    return count


async def written(*asks: Any) -> list[UsageRecord]:
    """What is in the database once ``asks`` have been made."""
    with RECORDER.running():
        for each in asks:
            await each
    return await sync_to_async(list)(UsageRecord.objects.order_by("created"))


async def test_an_answer_is_counted_with_all_that_is_known_of_it(engine: FakeEngine) -> None:
    ann = await User.objects.acreate(username="ann")
    engine.script = answers
    (row,) = await written(ask(who=Asker(source="openai", user=ann.pk)))
    assert (row.provider, row.model, row.alias) == ("huggingface", "org/model", "small")
    assert (row.user_id, row.key_id, row.source, row.kind) == (ann.pk, None, "openai", "generate")
    assert (row.prompt_tokens, row.cached_tokens, row.completion_tokens) == (7, 3, 6)
    assert (row.outcome, row.code) == ("done", "")
    assert row.first_token_ns is not None
    assert 0 < row.first_token_ns <= row.duration_ns


async def test_an_answer_whose_reader_leaves_counts_what_was_passed_on(engine: FakeEngine) -> None:
    engine.script = answers
    left, early, late = await written(ask(most=3), ask(most=1), ask(most=5))
    assert (left.outcome, left.prompt_tokens, left.completion_tokens) == ("cancelled", 7, 3)
    assert (early.outcome, early.completion_tokens, early.first_token_ns) == ("cancelled", 0, None)
    assert (late.outcome, late.completion_tokens) == ("done", 6)


async def test_an_error_is_counted_with_its_code(engine: FakeEngine) -> None:
    async def fails(request: Request) -> AsyncIterator[Event]:
        yield Text(text="a")
        yield Failed.of(LoadFailed("no"))

    async def dies(request: Request) -> AsyncIterator[Event]:
        yield Text(text="a", tokens=4)
        engine.die()

    async def failing(kind: type[Exception]) -> None:
        with pytest.raises(kind):
            await ask()

    engine.script = fails
    with RECORDER.running():
        await failing(LoadFailed)
        engine.script = dies
        await failing(EngineDied)
    rows = await sync_to_async(list)(UsageRecord.objects.order_by("created"))
    assert [(row.outcome, row.code, row.completion_tokens) for row in rows] == [
        ("failed", "load_failed", 1),
        ("failed", "engine_died", 4),
    ]


async def test_pictures_are_counted_but_loading_and_tokenizing_are_not(engine: FakeEngine) -> None:
    async def script(request: Request) -> AsyncIterator[Event]:
        if isinstance(request, Draw):
            yield Picture(data=b"png", seed=1)
        if isinstance(request, Tokenize):
            yield Tokens(tokens=(1,))
        yield Done(reason="stop")

    engine.script = script
    asks = (Load(model=MODEL), Tokenize(model=MODEL, text="a"), Draw(model=MODEL, prompt="a fox"))
    (row,) = await written(*map(ask, asks))
    assert (row.kind, row.outcome) == ("draw", "done")
    assert row.first_token_ns


async def test_the_engine_is_told_whom_it_reads_for(engine: FakeEngine) -> None:
    await ask(who=Asker(source="ollama", user=7))
    await ask()
    assert [request.owner for request in engine.requests] == ["user 7", ""]  # type: ignore[union-attr]


async def test_nothing_is_written_where_nobody_counts(engine: FakeEngine) -> None:
    await ask()
    assert not await UsageRecord.objects.aexists()


async def test_a_user_who_has_gone_meanwhile_does_not_lose_the_row(engine: FakeEngine) -> None:
    (row,) = await written(ask(who=Asker(source="page", user=4711, key=4711)))
    assert (row.user_id, row.key_id) == (None, None)


@pytest.mark.usefixtures("one_day")
async def test_many_at_once_are_all_counted_and_their_day_agrees(engine: FakeEngine) -> None:
    engine.script = answers
    rows = await written(*(ask(most=most) for most in [99, 3, 99, 1] * 200))
    assert len(rows) == 800
    days = await sync_to_async(list)(UsageDay.objects.all())
    assert len(days) == 1
    assert (days[0].requests, days[0].cancelled, days[0].failed) == (800, 400, 0)
    assert days[0].completion_tokens == sum(row.completion_tokens for row in rows) == 200 * (6 + 3 + 6 + 0)
    assert days[0].first_tokens == 600
