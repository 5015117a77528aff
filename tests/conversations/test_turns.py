"""Turns go on without anybody watching, are stored as they go, and always come to an end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import OperationalError

from conversations import turn as turn_module
from conversations.blocks import BlockStream
from conversations.markdown import render_blocks
from conversations.models import Conversation, Message
from conversations.services import turn_open
from conversations.turn import Turn
from conversations.turns import TURNS, TurnRegistry
from inference.errors import Busy, Draining, LoadFailed, NotFound
from inference.models import ModelRecord
from inference.protocol import (
    Done,
    Event,
    Failed,
    Loading,
    Queued,
    Reading,
    Request,
    Text,
    Thought,
    Timings,
    Usage,
)
from tests.conversations.conftest import Wrapper, wrapped
from tests.fakes import FakeEngine, gated

pytestmark = pytest.mark.django_db(transaction=True)

Status = Message.Status


async def started(user: User, text: str = "Hello", conversation: Any = None) -> Turn:
    return await TURNS.start(user=user, conversation=conversation, text=text, model="tester")


async def stored(turn: Turn) -> Message:
    return await Message.objects.aget(pk=turn.message.pk)


async def eventually(check: Callable[[], bool], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not check():
            await asyncio.sleep(0.01)


def is_save(sql: str) -> bool:
    return sql.startswith('UPDATE "conversations_message"')


async def test_an_answer_is_stored_with_its_figures(
    ann: User, model: ModelRecord, engine: FakeEngine
) -> None:
    async def script(request: Request) -> AsyncIterator[Event]:
        yield Queued(position=2)
        yield Loading(seconds=0.5)
        yield Reading(done=3, total=3)
        yield Text(text="Hi ")
        yield Text(text="*there*", tokens=2)
        yield Done(
            reason="length", usage=Usage(prompt=3, completion=3), timings=Timings(total=9, completion=6)
        )

    engine.script = script
    turn = await started(ann)
    await turn.task
    message = await stored(turn)
    assert (message.status, message.content, message.finish_reason) == (
        Status.COMPLETE,
        "Hi *there*",
        "length",
    )
    assert (message.prompt_tokens, message.completion_tokens) == (3, 3)
    assert (message.total_ns, message.completion_ns) == (9, 6)
    assert [html for html, _ in turn.live.blocks] == ["<p>Hi <em>there</em></p>\n"]
    assert turn.live.tokens == 3
    assert TURNS.running() == 0


async def test_thoughts_are_kept_apart_from_the_answer(
    ann: User, model: ModelRecord, engine: FakeEngine
) -> None:
    go = asyncio.Event()

    async def script(request: Request) -> AsyncIterator[Event]:
        yield Thought(text="Let me *see*")
        await go.wait()
        yield Thought(text=".\n\nYes.", tokens=2)
        yield Text(text="42")
        yield Done(reason="stop", usage=Usage(prompt=3, completion=4))

    engine.script = script
    turn = await started(ann)
    await eventually(lambda: turn.live.phase.name == "thinking")
    assert [html for _, html in turn.live.newer_thoughts(0)] == ["<p>Let me <em>see</em></p>\n"]
    assert turn.live.newer(0) == []
    go.set()
    await turn.task
    message = await stored(turn)
    assert (message.thinking, message.content) == ("Let me *see*.\n\nYes.", "42")
    assert message.thinking_ns > 0
    assert (turn.live.tokens, len(turn.live.thoughts)) == (4, 2)


async def test_an_engine_that_dies_in_thought_leaves_the_thoughts(
    ann: User, model: ModelRecord, engine: FakeEngine
) -> None:
    async def script(request: Request) -> AsyncIterator[Event]:
        yield Thought(text="Let me see")
        await asyncio.Event().wait()

    engine.script = script
    turn = await started(ann)
    await eventually(lambda: turn.thinking != "")
    engine.die()
    await turn.task
    message = await stored(turn)
    assert (message.status, message.thinking, message.content) == (Status.INTERRUPTED, "Let me see", "")


async def test_a_turn_runs_without_anybody_watching(
    ann: User, model: ModelRecord, engine: FakeEngine
) -> None:
    turn = await started(ann, "one two three")
    await eventually(lambda: TURNS.running() == 0)
    assert (await stored(turn)).content == "one two three "


async def test_stop_keeps_the_text_and_cancels_at_the_engine(
    ann: User, model: ModelRecord, engine: FakeEngine
) -> None:
    engine.script, release = gated(["one ", "two ", "three "])
    turn = await started(ann)
    await release()
    await release()
    await eventually(lambda: turn.text == "one two ")
    await TURNS.stop(turn.message.pk, ann)
    await turn.task
    message = await stored(turn)
    assert (message.status, message.content, message.error) == (Status.STOPPED, "one two ", "")
    assert (message.completion_tokens, message.total_ns > 0) == (2, True)
    await eventually(lambda: engine.closed == 1)
    await TURNS.stop(turn.message.pk, ann)
    assert (await stored(turn)).status == Status.STOPPED


async def test_stop_before_anything_came(ann: User, model: ModelRecord, engine: FakeEngine) -> None:
    engine.script, _ = gated(["one"])
    turn = await started(ann)
    turn.stop()
    await turn.task
    assert (await stored(turn)).status == Status.STOPPED


async def test_nobody_else_can_stop_a_turn(
    ann: User, bob: User, model: ModelRecord, engine: FakeEngine
) -> None:
    engine.script, _ = gated(["one"])
    turn = await started(ann)
    with pytest.raises(NotFound):
        await TURNS.stop(turn.message.pk, bob)
    assert TURNS.find(turn.message.pk, user=bob) is None
    assert TURNS.running() == 1


async def test_an_engine_that_dies_interrupts_and_the_text_is_kept(
    ann: User, model: ModelRecord, engine: FakeEngine
) -> None:
    engine.script, release = gated(["one ", "two "])
    turn = await started(ann)
    await release()
    await eventually(lambda: turn.text == "one ")
    engine.die()
    await turn.task
    message = await stored(turn)
    assert (message.status, message.content) == (Status.INTERRUPTED, "one ")
    assert "try again" in message.error


async def test_an_error_before_any_text_is_a_failure(
    ann: User, model: ModelRecord, engine: FakeEngine
) -> None:
    async def script(request: Request) -> AsyncIterator[Event]:
        yield Failed.of(LoadFailed("The weights are damaged."))

    engine.script = script
    turn = await started(ann)
    await turn.task
    message = await stored(turn)
    assert (message.status, message.content, message.error) == (Status.FAILED, "", "The weights are damaged.")


async def test_an_error_of_our_own_ends_the_turn_and_tells_nothing(
    ann: User, model: ModelRecord, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_module, "events_of", lambda *_: {}["secret"])
    turn = await started(ann)
    await turn.task
    message = await stored(turn)
    assert message.status == Status.FAILED
    assert "secret" not in message.error


async def test_an_answer_that_cannot_be_rendered_is_kept(
    ann: User, model: ModelRecord, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BlockStream, "feed", lambda self, text: {}["secret"])
    turn = await started(ann, "one two")
    await turn.task
    assert turn.live.ended
    assert (await stored(turn)).status == Status.INTERRUPTED


@pytest.mark.parametrize("broken", ["feed", "checkpoint"])
async def test_a_turn_that_breaks_leaves_no_task_and_keeps_what_was_read(
    ann: User, model: ModelRecord, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """Whatever breaks, nothing is written to the answer's row after its end was."""
    monkeypatch.setattr(turn_module, "CHECKPOINT_SECONDS", 0.05)
    before = asyncio.all_tasks()
    engine.script, release = gated(["one ", "two "])
    saves: list[str] = []
    failed = threading.Event()

    def feed(self: BlockStream, text: str) -> None:
        failed.set()
        raise KeyError("secret")

    def watched(execute: Wrapper, sql: str, *rest: Any) -> Any:
        if is_save(sql):
            saves.append("end" if "prompt_tokens" in sql else "checkpoint")
            if saves == ["checkpoint"]:
                if broken == "checkpoint":
                    raise ValueError("secret")
                assert failed.wait(30), "rendering fails while this is being stored"
        return execute(sql, *rest)

    async with wrapped(watched):
        turn = await started(ann)
        await release()
        await eventually(lambda: bool(saves))
        if broken == "feed":
            monkeypatch.setattr(BlockStream, "feed", feed)
            await release()
        async with asyncio.timeout(30):
            await turn.task
        left = {task.get_coro().__qualname__ for task in asyncio.all_tasks() - before}
    assert not {name for name in left if name.startswith(("Turn.", "Renderer."))}
    assert saves == ["checkpoint", "end"]
    message = await stored(turn)
    assert (message.status, message.content) == (Status.INTERRUPTED, turn.text)
    assert message.content.startswith("one ")
    assert "secret" not in message.error
    await eventually(lambda: engine.closed == 1)


async def test_a_second_turn_waits_for_the_first(ann: User, model: ModelRecord, engine: FakeEngine) -> None:
    engine.script, _ = gated(["one"])
    turn = await started(ann)
    talk = turn.opened.conversation.pk
    with pytest.raises(Busy):
        await started(ann, conversation=talk)
    await started(ann)
    assert TURNS.running() == 2
    turn.stop()
    await turn.task
    await started(ann, conversation=talk)


async def test_what_is_written_is_stored_once_in_a_while(
    ann: User, model: ModelRecord, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_module, "CHECKPOINT_SECONDS", 0.2)
    goes_on, last, saves = asyncio.Event(), asyncio.Event(), []

    async def script(request: Request) -> AsyncIterator[Event]:
        for number in range(200):
            yield Text(text=f"{number} ")
            await asyncio.sleep(0.004)
            if number == 100:
                await goes_on.wait()
        await last.wait()
        yield Done(reason="stop")

    def noting(execute: Wrapper, sql: str, *rest: Any) -> Any:
        saves.extend([sql] if is_save(sql) else [])
        return execute(sql, *rest)

    engine.script = script
    async with wrapped(noting):
        began = time.monotonic()
        turn = await started(ann)
        for words in ("100 ", "199 "):
            await eventually(lambda words=words: turn.text.endswith(words))
            async with asyncio.timeout(30):
                while (so_far := await stored(turn)).content != turn.text:
                    await asyncio.sleep(0.05)
            assert so_far.status == Status.STREAMING
            goes_on.set()
        assert 2 <= len(saves) <= 3 + (time.monotonic() - began) / 0.2
        last.set()
        await turn.task


async def test_a_database_that_is_locked_for_a_while_costs_nothing(
    ann: User, model: ModelRecord, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_module, "CHECKPOINT_SECONDS", 0.05)
    failures = []

    def locked(execute: Wrapper, sql: str, *rest: Any) -> Any:
        if is_save(sql) and len(failures) < 3:
            failures.append(sql)
            raise OperationalError("database is locked")
        return execute(sql, *rest)

    engine.script, release = gated(["one ", "two "])
    async with wrapped(locked):
        turn = await started(ann)
        await release()
        await eventually(lambda: len(failures) == 1)
        await release()
        await release()
        await turn.task
    message = await stored(turn)
    assert (message.status, message.content, message.error) == (Status.COMPLETE, "one two ", "")
    assert len(failures) >= 2


async def test_an_end_that_cannot_be_stored_is_stored_later(
    ann: User, model: ModelRecord, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_module, "SAVE_PAUSES", (0.01,))
    full = True

    def refusing(execute: Wrapper, sql: str, *rest: Any) -> Any:
        if full and is_save(sql) and "prompt_tokens" in sql:
            raise OperationalError("database or disk is full")
        return execute(sql, *rest)

    async with wrapped(refusing):
        turn = await started(ann, "one two")
        talk = turn.opened.conversation.pk
        await eventually(lambda: turn.live.ended)
        assert (turn.message.status, turn.message.error) == (Status.INTERRUPTED, turn_module.NOT_SAVED)
        with pytest.raises(Busy):
            await started(ann, conversation=talk)
        full = False
        await TURNS.stop(turn.message.pk, ann)
        await asyncio.wait_for(turn.task, 30)
    message = await stored(turn)
    assert (message.status, message.content, message.error) == (Status.COMPLETE, "one two ", "")
    await started(ann, conversation=talk)


async def test_an_end_that_can_never_be_stored_holds_nothing_up(
    ann: User, model: ModelRecord, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_module, "SAVE_PAUSES", (0.01, 0.01))
    monkeypatch.setattr(turn_module, "LATER_PAUSES", (0.01, 0.01))
    tried = []

    def refusing(execute: Wrapper, sql: str, *rest: Any) -> Any:
        if is_save(sql) and "prompt_tokens" in sql:
            tried.append(sql)
            raise OperationalError("database or disk is full")
        return execute(sql, *rest)

    async with wrapped(refusing):
        turn = await started(ann, "one two")
        await turn.task
    assert len(tried) == 5
    assert (await stored(turn)).status == Status.STREAMING
    following = await started(ann, conversation=turn.opened.conversation.pk)
    assert (await stored(turn)).status == Status.INTERRUPTED
    await following.task
    assert (await stored(following)).status == Status.COMPLETE


async def test_an_end_that_a_stopping_server_does_not_wait_for_is_none_that_streams(
    ann: User, model: ModelRecord, engine: FakeEngine
) -> None:
    engine.script, release = gated(["one ", "two "])
    saving, goes_on = threading.Event(), threading.Event()

    def slow(execute: Wrapper, sql: str, *rest: Any) -> Any:
        if is_save(sql) and "prompt_tokens" in sql:
            saving.set()
            assert goes_on.wait(30)
        return execute(sql, *rest)

    async with wrapped(slow):
        turn = await started(ann)
        await release()
        closing = asyncio.create_task(TURNS.close())
        await eventually(saving.is_set)
        closing.cancel()
        await eventually(lambda: turn.live.ended)
        assert (turn.message.status, turn.message.error) == (Status.INTERRUPTED, turn_module.NOT_SAVED)
        goes_on.set()


async def test_stop_marks_an_answer_that_nobody_writes(
    ann: User, bob: User, model: ModelRecord, engine: FakeEngine
) -> None:
    opened = await sync_to_async(turn_open)(user=ann, conversation=None, text="Hello", model="tester")
    with pytest.raises(NotFound):
        await TURNS.stop(opened.answer.pk, bob)
    assert (await Message.objects.aget(pk=opened.answer.pk)).status == Status.STREAMING
    await TURNS.stop(opened.answer.pk, ann)
    assert (await Message.objects.aget(pk=opened.answer.pk)).status == Status.INTERRUPTED


async def test_an_answer_that_waits_is_known_to_be_waited_for(
    ann: User, model: ModelRecord, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_module, "CHECKPOINT_SECONDS", 0.01)
    monkeypatch.setattr(turn_module, "SIGN_SECONDS", 0.0)
    engine.script, _ = gated(["one"])
    turn = await started(ann)
    first = (await stored(turn)).alive
    async with asyncio.timeout(30):
        while (await stored(turn)).alive == first:
            await asyncio.sleep(0.01)
    assert (await stored(turn)).status == Status.STREAMING


async def test_stop_reaches_the_server_that_writes(
    ann: User, model: ModelRecord, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_module, "CHECKPOINT_SECONDS", 0.01)
    engine.script, release = gated(["one ", "two "])
    turn = await started(ann)
    await Message.objects.filter(pk=turn.message.pk).aupdate(writer="another")
    assert (await TurnRegistry().ended(turn.message.pk, user=ann)).status == Status.STREAMING
    await release()
    async with asyncio.timeout(30):
        while not (await stored(turn)).content:
            await asyncio.sleep(0.01)
    await TurnRegistry().stop(turn.message.pk, ann)
    await asyncio.wait({turn.task})
    message = await stored(turn)
    assert (message.status, message.content) == (Status.STOPPED, "one ")


async def test_of_two_questions_at_once_one_is_answered(
    ann: User, model: ModelRecord, engine: FakeEngine
) -> None:
    turn = await started(ann)
    await turn.task
    engine.script, _ = gated(["one"])
    talk = turn.opened.conversation.pk
    both = await asyncio.gather(*(started(ann, conversation=talk) for _ in range(2)), return_exceptions=True)
    assert [type(one) for one in both if isinstance(one, Exception)] == [Busy]
    assert TURNS.running() == 1


async def test_deleting_the_conversation_ends_a_turn_that_waits(
    ann: User, model: ModelRecord, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_module, "CHECKPOINT_SECONDS", 0.05)

    async def script(request: Request) -> AsyncIterator[Event]:
        yield Queued(position=1)
        await asyncio.Event().wait()

    engine.script = script
    turn = await started(ann)
    await eventually(lambda: turn.live.phase.name == "queued")
    await Conversation.objects.all().adelete()
    await asyncio.wait_for(turn.task, 30)
    await eventually(lambda: engine.closed == 1)


async def test_deleting_the_conversation_ends_its_turn(
    ann: User, model: ModelRecord, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_module, "CHECKPOINT_SECONDS", 0.05)
    engine.script, release = gated(["one ", "two "])
    turn = await started(ann)
    await Conversation.objects.all().adelete()
    await release()
    await asyncio.wait_for(turn.task, 30)
    await eventually(lambda: engine.closed == 1)


async def test_closing_interrupts_and_stores_every_turn(
    ann: User, model: ModelRecord, engine: FakeEngine
) -> None:
    engine.script, release = gated(["one ", "two "])
    running = [await started(ann) for _ in range(3)]
    await release()
    await eventually(lambda: any(turn.text for turn in running))
    TURNS.draining = True
    with pytest.raises(Draining):
        await started(ann)
    await TURNS.close()
    assert TURNS.running() == 0
    async for message in Message.objects.filter(role="assistant"):
        assert message.status == Status.INTERRUPTED
        assert "stopped" in message.error


async def test_closing_waits_for_what_is_about_to_run(
    ann: User, model: ModelRecord, engine: FakeEngine
) -> None:
    engine.script, _ = gated(["one"])
    starting = asyncio.create_task(started(ann))
    await asyncio.sleep(0)
    assert TURNS.running() == 1
    TURNS.draining = True
    await TURNS.close()
    assert TURNS.running() == 0
    assert (await stored(await starting)).status == Status.INTERRUPTED


async def test_live_blocks_end_as_the_whole_text_would(
    ann: User, model: ModelRecord, engine: FakeEngine
) -> None:
    text = "# One\n\n- a\n- b\n\n```python\nx = 1\n```\n\n|a|b|\n|-|-|\n|1|2|\n\nThe end."

    async def script(request: Request) -> AsyncIterator[Event]:
        for character in text:
            yield Text(text=character)
        yield Done(reason="stop")

    engine.script = script
    turn = await started(ann)
    await turn.task
    assert tuple(html for html, _ in turn.live.blocks) == render_blocks(text)
