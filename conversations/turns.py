"""The turns that run in this process: starting, finding, stopping and ending them.

Owners only: somebody else's turn is not there. Lives on the server's event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from uuid import UUID

from channels.db import database_sync_to_async
from django.contrib.auth.models import User

from conversations.models import Message
from conversations.selectors import message_get
from conversations.services import (
    STILL_ANSWERED,
    STOPPED_SERVER,
    WRITER,
    OpenedTurn,
    answer_abandon,
    answer_stop,
    conversation_free,
    turn_open,
)
from conversations.turn import Turn
from inference.asker import asker, asking
from inference.errors import Busy, Draining
from inference.protocol import Options


class TurnRegistry:
    """The turns that run in this process, by the answer they write."""

    def __init__(self) -> None:
        self.draining = False
        self._turns: dict[UUID, Turn] = {}
        self._opening: dict[asyncio.Task[Turn], tuple[int, UUID | None]] = {}

    async def start(
        self,
        *,
        user: User,
        conversation: UUID | None,
        text: str,
        model: str,
        options: Options = Options(),
        attachments: Sequence[UUID] = (),
    ) -> Turn:
        """Ask ``model`` to answer ``text``, with pictures.

        The turn starts even if the caller goes away meanwhile. Errors as ``turn_open``'s.
        """
        if self.draining:
            raise Draining
        if conversation:
            self._check_free(user, conversation)
        opening = partial(
            turn_open, user=user, text=text, model=model, options=options, attachments=attachments
        )
        with asking(replace(asker(), user=user.pk)):
            starting = asyncio.create_task(self._start(opening, user, conversation))
        self._opening[starting] = (user.pk, conversation)
        starting.add_done_callback(self._opening.pop)
        return await asyncio.shield(starting)

    async def _start(self, opening: Callable[..., OpenedTurn], user: User, conversation: UUID | None) -> Turn:
        if conversation:
            await database_sync_to_async(conversation_free)(user=user, conversation_id=conversation)
        opened = await database_sync_to_async(opening)(conversation=conversation)
        turn = self._turns[opened.answer.pk] = Turn(opened, user_id=user.pk)
        turn.task.add_done_callback(lambda _: self._turns.pop(opened.answer.pk, None))
        return turn

    def find(self, message_id: UUID, *, user: User) -> Turn | None:
        """The running turn that writes ``message_id``, if it is ``user``'s."""
        turn = self._turns.get(message_id)
        return turn if turn and turn.user_id == user.pk else None

    def _check_free(self, user: User, conversation: UUID) -> None:
        """``Busy`` if a turn runs in ``user``'s conversation, or is about to."""
        running = {(turn.user_id, turn.opened.conversation.pk) for turn in self._turns.values()}
        if (user.pk, conversation) in running.union(self._opening.values()):
            raise Busy(STILL_ANSWERED)

    async def stop(self, message_id: UUID, user: User) -> None:
        """Stop writing ``message_id``, wherever that is done. One that has ended stays as it is."""
        if turn := self.find(message_id, user=user):
            turn.stop()
            return
        message = await self.ended(message_id, user=user)
        if message.is_streaming and message.writer != WRITER:
            await database_sync_to_async(answer_stop)(user=user, message_id=message_id)

    async def ended(self, message_id: UUID, *, user: User) -> Message:
        """The stored ``message_id``, which no turn here writes; what was left unfinished is marked.

        It is still streaming where another server writes it."""
        stored = partial(message_get, user=user, message_id=message_id)
        message = await database_sync_to_async(stored)()
        is_opening = any(owner == user.pk for owner, _ in self._opening.values())
        if message.is_streaming and message_id not in self._turns and not is_opening:
            await database_sync_to_async(answer_abandon)(user=user, message_id=message_id)
            message = await database_sync_to_async(stored)()
        return message

    def running(self) -> int:
        """How many turns run, or are about to."""
        return len(self._turns) + sum(not starting.done() for starting in self._opening)

    async def close(self) -> None:
        """Interrupt every turn, also one that is about to run, and return when all are stored."""
        await asyncio.gather(*self._opening, return_exceptions=True)
        turns = tuple(self._turns.values())
        for turn in turns:
            turn.interrupt(Draining(STOPPED_SERVER))
        await asyncio.gather(*(turn.task for turn in turns))


TURNS = TurnRegistry()
