"""The turns that run in this process: starting, finding, stopping and ending them.

Owners only: somebody else's turn is not there. Lives on the server's event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from channels.db import database_sync_to_async
from django.contrib.auth.models import User

from conversations.selectors import message_get
from conversations.services import STOPPED_SERVER, OpenedTurn, turn_open
from conversations.turn import Turn
from inference.asker import asker, asking
from inference.errors import Draining
from inference.protocol import Options


class TurnRegistry:
    """The turns that run in this process, by the answer they write."""

    def __init__(self) -> None:
        self.draining = False
        self._turns: dict[UUID, Turn] = {}

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

        The turn starts even if the caller goes away meanwhile.
        """
        if self.draining:
            raise Draining
        opening = database_sync_to_async(turn_open)(
            user=user,
            conversation=conversation,
            text=text,
            model=model,
            options=options,
            attachments=attachments,
        )
        with asking(replace(asker(), user=user.pk)):
            starting = asyncio.create_task(self._start(opening, user))
        return await asyncio.shield(starting)

    async def _start(self, opening: Coroutine[Any, Any, OpenedTurn], user: User) -> Turn:
        opened = await opening
        turn = self._turns[opened.answer.pk] = Turn(opened, user_id=user.pk)
        turn.task.add_done_callback(lambda _: self._turns.pop(opened.answer.pk, None))
        return turn

    def find(self, message_id: UUID, *, user: User) -> Turn | None:
        """The running turn that writes ``message_id``, if it is ``user``'s."""
        turn = self._turns.get(message_id)
        return turn if turn and turn.user_id == user.pk else None

    async def stop(self, message_id: UUID, user: User) -> None:
        """Stop writing ``message_id``. One that has ended stays as it is."""
        if turn := self.find(message_id, user=user):
            turn.stop()
        else:
            await database_sync_to_async(message_get)(user=user, message_id=message_id)

    def running(self) -> int:
        """How many turns run."""
        return len(self._turns)

    async def close(self) -> None:
        """Interrupt every turn, and return when all are stored."""
        turns = tuple(self._turns.values())
        for turn in turns:
            turn.interrupt(Draining(STOPPED_SERVER))
        await asyncio.gather(*(turn.task for turn in turns))


TURNS = TurnRegistry()
