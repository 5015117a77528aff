"""What a page is told of an answer: as its turn here writes it, or as it is stored.

An answer that another server on the database writes is read once a second, as that server stores it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from conversations import fragments, wire
from conversations.answer import ENDED, THINKING, WAITING, WRITING, LiveAnswer, Phase, Stats
from conversations.markdown import render_blocks
from conversations.models import Message
from conversations.turn import CHECKPOINT_SECONDS, Turn
from conversations.turns import TURNS
from inference.errors import InferenceError

UPDATE_SECONDS = 0.05


def turn_started(turn: Turn) -> wire.Started:
    """That ``turn`` has begun."""
    opened = turn.opened
    return wire.Started(
        conversation=opened.conversation.pk,
        message=opened.answer.pk,
        after=opened.question.parent_id,
        title=opened.conversation.title,
        url=reverse("conversation", args=[opened.conversation.pk]),
        html=fragments.turn_html(opened.question, opened.answer),
        entry=fragments.entry_html(opened.conversation),
    )


async def turn_updates(turn: Turn, *, since: int) -> AsyncIterator[wire.Said]:
    """What is newer than version ``since`` of the turn's answer, until it has ended."""
    live = turn.live
    if since > live.version:
        since = 0
    while True:
        await live.changed(since=since)
        update = wire.Update(
            message=turn.message.pk,
            version=live.version,
            phase=live.phase,
            blocks=live.newer(since),
            count=len(live.blocks),
            stats=live.stats,
            thoughts=live.newer_thoughts(since),
            thoughts_count=len(live.thoughts),
        )
        since = update.version
        yield update
        if update.phase is ENDED:
            yield _ended(turn.message, turn.ending.error)
            return
        await asyncio.sleep(UPDATE_SECONDS)


async def stored_updates(message: Message, *, user: User) -> AsyncIterator[wire.Said]:
    """All of ``user``'s answer ``message``, and what its writer elsewhere adds to it until it has ended."""
    shown = LiveAnswer()
    while True:
        since = shown.version
        await asyncio.to_thread(_show, message, shown)
        yield wire.Update(
            message=message.pk,
            # Versions are the writer's: a page that comes to it from here gets everything.
            version=0,
            phase=_phase(message),
            blocks=shown.newer(since),
            count=len(shown.blocks),
            stats=_stats(message),
            thoughts=shown.newer_thoughts(since),
            thoughts_count=len(shown.thoughts),
        )
        if not message.is_streaming:
            yield _ended(message)
            return
        await asyncio.sleep(CHECKPOINT_SECONDS)
        message = await TURNS.ended(message.pk, user=user)


def _show(message: Message, shown: LiveAnswer) -> None:
    shown.show(render_blocks(message.content), render_blocks(message.thinking))


def _phase(message: Message) -> Phase:
    if not message.is_streaming:
        return ENDED
    if message.content:
        return WRITING
    return THINKING if message.thinking else WAITING


def _stats(message: Message) -> Stats:
    """Its figures; while it is written elsewhere only how long that has been."""
    waited = (timezone.now() - message.created).total_seconds() if message.is_streaming else 0.0
    return Stats(
        tokens=message.completion_tokens,
        rate=0,
        seconds=waited or message.total_ns / 1e9,
        thinking=message.thinking_ns / 1e9,
    )


def _ended(message: Message, error: InferenceError | None = None) -> wire.Ended:
    return wire.Ended(
        message=message.pk,
        status=message.status,
        foot=fragments.foot_html(message),
        error=wire.Problem.of(error) if error else None,
    )
