"""The websocket of the chat page: parses what the page says, calls, and sends what comes of it.

A consumer handles one message at a time, so nothing here waits for an answer: following one is a
task of its own, and ends with the socket. The answer itself belongs to the server. To a page that is
slower than its updates the next one is sent when the last has gone, with all that came meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from uuid import UUID

from channels.auth import get_user
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.utils.module_loading import import_string

from conversations import wire
from conversations.sockets import SOCKETS
from conversations.turn import FAULTS
from conversations.turns import TURNS
from conversations.updates import stored_updates, turn_started, turn_updates
from inference.errors import NO_DATABASE, Busy, InferenceError

logger = logging.getLogger(__name__)

LOGGED_OUT = 4401


class ChatConsumer(AsyncWebsocketConsumer):
    """One page's socket. It follows one answer at most."""

    following: asyncio.Task[None] | None = None
    _owner: int | None = None

    async def connect(self) -> None:
        # Accepted either way: a browser tells a page no more than 1006 of a socket that was refused.
        await self.accept()
        user = await self._user()
        if not user.is_authenticated:
            await self.close(code=LOGGED_OUT)
            return
        self._owner = user.pk
        SOCKETS.add(user.pk, self._log_out)

    async def disconnect(self, code: int) -> None:
        if self._owner is not None:
            SOCKETS.discard(self._owner, self._log_out)
        await self._follow(None)

    async def _log_out(self) -> None:
        await self.close(code=LOGGED_OUT)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        async with self._told():
            user = await self._user()
            if user.is_authenticated:
                await self._answer(wire.decode(text_data), user)
            else:
                await self.close(code=LOGGED_OUT)

    @contextlib.asynccontextmanager
    async def _told(self) -> AsyncIterator[None]:
        """The page is told what goes wrong inside."""
        try:
            yield
        except InferenceError as error:
            await self._say(wire.Problem.of(error))
        except FAULTS:
            logger.exception("What a page asked for could not be done.")
            await self._say(wire.Problem.of(Busy(NO_DATABASE)))

    async def _user(self) -> User | AnonymousUser:
        """Who is logged in at this moment, rather than when the socket was opened."""
        session = import_string(f"{settings.SESSION_ENGINE}.SessionStore")
        return await get_user({"session": session(self.scope["session"].session_key)})

    async def _answer(self, asked: wire.Asked, user: User) -> None:
        match asked:
            case wire.Send():
                await self._start(asked, user)
            case wire.Attach(message=message, version=version):
                await self._attach(message, version, user)
            case wire.Detach():
                await self._follow(None)
            case wire.Stop(message=message):
                await TURNS.stop(message, user)

    async def _start(self, asked: wire.Send, user: User) -> None:
        turn = await TURNS.start(
            user=user,
            conversation=asked.conversation,
            text=asked.text,
            model=asked.model,
            attachments=asked.attachments,
        )
        await self._say(turn_started(turn))
        await self._follow(turn_updates(turn, since=0))

    async def _attach(self, message_id: UUID, version: int, user: User) -> None:
        if turn := TURNS.find(message_id, user=user):
            await self._follow(turn_updates(turn, since=version))
            return
        message = await TURNS.ended(message_id, user=user)
        await self._follow(stored_updates(message, user=user))

    async def _follow(self, updates: AsyncIterator[wire.Said] | None) -> None:
        """Send these updates from now on, and no longer those of before."""
        if self.following:
            self.following.cancel()
            await asyncio.wait({self.following})
        self.following = asyncio.create_task(self._pass_on(updates)) if updates else None

    async def _pass_on(self, updates: AsyncIterator[wire.Said]) -> None:
        async with self._told():
            async for update in updates:
                await self._say(update)

    async def _say(self, said: wire.Said) -> None:
        await self.send(text_data=wire.encode(said))
