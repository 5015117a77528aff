"""A turn: an answer in the making. It belongs to the server, not to the socket that asked.

A turn reads the provider's events into a draft, has it rendered, stores it about once a second, and stores
how it ended. Leaving the page changes nothing; ``stop`` does, from anywhere. All of it runs on the server's
event loop: rendering goes to a thread, the database to Django's.

Knows nothing of sockets: whoever wants to watch reads ``Turn.live``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from contextlib import aclosing, suppress
from typing import NamedTuple

from channels.db import database_sync_to_async
from django.db import DatabaseError, InterfaceError

from aliases.answering import events_of
from conversations.answer import ENDED, LiveAnswer
from conversations.draft import Draft
from conversations.models import Message
from conversations.renderer import Renderer
from conversations.selectors import message_wanted
from conversations.services import OpenedTurn, message_checkpoint, turn_close
from inference.errors import InferenceError

logger = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 1.0
# Other servers on the database are told this often that an answer without news is still waited for: several
# times in what ``services.WRITER_GONE`` gives.
SIGN_SECONDS = 15.0
# Pauses before the next attempts to store how a turn ended. After the first ones its page hears of it;
# the turn is kept, and so is the text, and it is tried for about an hour more.
SAVE_PAUSES = (0.1, 0.5, 1.0)
LATER_PAUSES = (5.0,) * 720
NOT_SAVED = "This answer could not be stored: it may be incomplete when the page is loaded again."

Status = Message.Status
FAULTS = (DatabaseError, InterfaceError)


class Ending(NamedTuple):
    """How a turn ended, and the error if that is why."""

    status: Message.Status
    error: InferenceError | None = None


class Turn:
    """One answer in the making. ``live`` is what has been written; ``message`` is its row."""

    def __init__(self, opened: OpenedTurn, *, user_id: int) -> None:
        self.opened = opened
        self.message = opened.answer
        self.user_id = user_id
        self.live = LiveAnswer()
        self.ending = Ending(Status.STREAMING)
        self._renderer = Renderer(self.live)
        self._draft = Draft(opened, self.live, self._renderer)
        self._cancelled = Ending(Status.STOPPED)
        self._hurry = asyncio.Event()
        self._last_chance = False
        self._reading = asyncio.create_task(self._read())
        self.task = asyncio.create_task(self._run())

    @property
    def text(self) -> str:
        """All that has been written so far."""
        return self._draft.text

    @property
    def thinking(self) -> str:
        """All that has been thought so far."""
        return self._draft.thinking

    def stop(self) -> None:
        """End the turn because its reader wants that; the text so far is kept."""
        self._reading.cancel()
        self._hurry.set()

    def interrupt(self, error: InferenceError) -> None:
        """End the turn because of ``error``; the text so far is kept."""
        self._cancelled = Ending(Status.INTERRUPTED, error)
        self._last_chance = True
        self.stop()

    async def _run(self) -> None:
        try:
            await self._show_and_save()
            self.ending = self._how_it_ended()
        except Exception:
            logger.exception("An answer could not be rendered.")
            self.ending = Ending(Status.INTERRUPTED, InferenceError())
        try:
            saved = await self._save(SAVE_PAUSES)
        finally:
            if self.message.is_streaming:
                # The server ends in the midst of it, and marks the answer so when it starts again.
                self.message.status, self.message.error = Status.INTERRUPTED, NOT_SAVED
            self.live.enter(ENDED)
        if not saved:
            await self._save_later()

    async def _show_and_save(self) -> None:
        """Render and store what is read until all is. If one fails no more is read, which ends both."""
        both = [asyncio.create_task(work) for work in (self._renderer.run(self._reading), self._save_often())]
        tasks = {self._reading, *both}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_EXCEPTION)
            self._reading.cancel()
            await asyncio.wait(tasks)
        finally:
            for task in tasks:
                task.cancel()
        for task in both:
            task.result()

    async def _read(self) -> None:
        events = events_of(self.opened.target, self.opened.request)
        async with aclosing(events):
            async for event in events:
                self._draft.fold(event)

    async def _save_often(self) -> None:
        """Store the text so far once a second, and end the turn if nobody wants it any more."""
        saved, signed = 0, time.monotonic()
        while not self._reading.done():
            await asyncio.wait({self._reading}, timeout=CHECKPOINT_SECONDS)
            come = self._draft.size
            if self._reading.done():
                break
            waits = saved == come and time.monotonic() - signed < SIGN_SECONDS
            try:
                wanted = await (self._wanted() if waits else self._checkpoint())
            except FAULTS:
                logger.warning("An answer could not be stored yet.", exc_info=True)
            else:
                saved, signed = come, signed if waits else time.monotonic()
                if not wanted:
                    self.stop()

    async def _checkpoint(self) -> bool:
        return await database_sync_to_async(message_checkpoint)(
            message_id=self.message.pk, content=self.text, thinking=self.thinking
        )

    async def _wanted(self) -> bool:
        """Whether the answer is; nothing is written while there is nothing new."""
        return await database_sync_to_async(message_wanted)(message_id=self.message.pk)

    def _how_it_ended(self) -> Ending:
        if self._reading.cancelled():
            return self._cancelled
        error = self._reading.exception()
        if error is None:
            return Ending(Status.COMPLETE)
        if not isinstance(error, InferenceError):
            logger.error("A turn failed.", exc_info=error)
            error = InferenceError()
        return Ending(Status.INTERRUPTED if self._draft.size else Status.FAILED, error)

    async def _save(self, pauses: Iterable[float]) -> bool:
        """Store the answer and how it ended; a full disk or a locked database gets several chances."""
        for pause in pauses:
            if await self._save_once():
                return True
            await asyncio.sleep(pause)
        return await self._save_once()

    async def _save_later(self) -> None:
        """Store the answer as soon as that is possible, at once if somebody wants to stop it."""
        for pause in LATER_PAUSES:
            if self._last_chance:
                break
            self._hurry.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._hurry.wait()
            if await self._save_once():
                return

    async def _save_once(self) -> bool:
        status, error = self.ending
        words = error.message if error else ""
        try:
            await database_sync_to_async(turn_close)(
                message=self.message, status=status, error=words, **self._draft.result()
            )
        except FAULTS:
            logger.warning("How an answer ended could not be stored yet.", exc_info=True)
            self.message.status, self.message.error = Status.INTERRUPTED, NOT_SAVED
            return False
        return True
