"""A turn: an answer in the making. It belongs to the server, not to the socket that asked.

A turn reads the provider's events, renders the text a few times a second, stores it about once a
second, and stores how it ended. Leaving the page changes nothing; ``stop`` does, from anywhere.
All of it runs on the server's event loop: rendering goes to a thread, the database to Django's.

Knows nothing of sockets: whoever wants to watch reads ``Turn.live``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from typing import NamedTuple

from channels.db import database_sync_to_async
from django.db import DatabaseError, InterfaceError

from aliases.answering import events_of
from conversations.answer import ENDED, THINKING, WRITING, LiveAnswer, Phase
from conversations.blocks import BlockStream
from conversations.models import Message
from conversations.selectors import message_wanted
from conversations.services import OpenedTurn, message_checkpoint, turn_close
from inference.errors import InferenceError
from inference.protocol import (
    Done,
    Event,
    FellBack,
    Loading,
    Noted,
    Queued,
    Reading,
    Text,
    Thought,
    Timings,
    Usage,
)

logger = logging.getLogger(__name__)

RENDER_SECONDS = 0.05
CHECKPOINT_SECONDS = 1.0
# Rendering takes at most a fifth of a core, and sends at most this many bytes a second.
RENDER_SHARE = 5
BYTES_PER_SECOND = 400_000
# One thread for all turns: each further one would take its share of the interpreter from the loop.
RENDERER = ThreadPoolExecutor(1, "render")
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
        self._pieces: list[str] = []
        self._thoughts: list[str] = []
        self._rendered = self._rendered_thoughts = 0
        self._blocks, self._thought_blocks = BlockStream(), BlockStream()
        self._news = asyncio.Event()
        self._done: Done | None = None
        self._cancelled = Ending(Status.STOPPED)
        self._hurry = asyncio.Event()
        self._last_chance = False
        self._reading = asyncio.create_task(self._read())
        self._reading.add_done_callback(lambda _: self._news.set())
        self.task = asyncio.create_task(self._run())

    @property
    def text(self) -> str:
        """All that has been written so far."""
        return "".join(self._pieces)

    @property
    def thinking(self) -> str:
        """All that has been thought so far."""
        return "".join(self._thoughts).strip()

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
            await asyncio.gather(self._render_often(), self._save_often())
            self.ending = self._how_it_ended()
        except Exception:
            logger.exception("An answer could not be rendered.")
            self._reading.cancel()
            self.ending = Ending(Status.INTERRUPTED, InferenceError())
        try:
            saved = await self._save(SAVE_PAUSES)
        finally:
            self.live.enter(ENDED)
        if not saved:
            await self._save_later()

    async def _read(self) -> None:
        events = events_of(self.opened.target, self.opened.request)
        async with aclosing(events):
            async for event in events:
                self._fold(event)

    def _fold(self, event: Event) -> None:
        match event:
            case Queued(position=position):
                self.live.enter(Phase(name="queued", position=position))
            case Loading():
                self.live.enter(Phase(name="loading"))
            case Reading(done=done, total=total):
                self.live.enter(Phase(name="reading", done=done, total=total))
            case Text(text=text, tokens=tokens):
                self._pieces.append(text.replace("\x00", "\ufffd"))
                self.live.count(tokens)
                self._news.set()
            case Thought(text=text, tokens=tokens):
                self._thoughts.append(text.replace("\x00", "\ufffd"))
                self.live.count_thought(tokens)
                self._news.set()
            case FellBack(model=model, provider=provider):
                asked = self.opened.target.missing or self.opened.target.record.name
                self._note(f"{asked} could not answer, so {model} did.")
                self.message.model, self.message.model_provider = model, provider
            case Noted(note=note):
                self._note(note)
            case Done():
                self._done = event

    def _note(self, note: str) -> None:
        self.message.note = f"{self.message.note} {note}".strip()

    async def _render_often(self) -> None:
        """Render what is new, with pauses that grow with the work of it."""
        while not self._reading.done():
            await self._news.wait()
            self._news.clear()
            started = time.monotonic()
            size = await self._render()
            cost = (time.monotonic() - started) * (RENDER_SHARE - 1)
            pause = max(RENDER_SECONDS, cost, size / BYTES_PER_SECOND)
            await asyncio.wait({self._reading}, timeout=pause)
        await self._render()

    async def _render(self) -> int:
        """Show what is new, and say how much HTML that is."""
        pieces = self._pieces[self._rendered :]
        self._rendered += len(pieces)
        thoughts = self._thoughts[self._rendered_thoughts :]
        self._rendered_thoughts += len(thoughts)
        version, last = self.live.version, self._reading.done()
        if pieces or thoughts or last:
            grown = asyncio.get_running_loop().run_in_executor(
                RENDERER, self._grow, "".join(pieces), "".join(thoughts), last
            )
            self.live.show(*await grown)
        if pieces or thoughts:
            self.live.enter(WRITING if self._pieces else THINKING)
        newer = *self.live.newer(version), *self.live.newer_thoughts(version)
        return sum(len(html) for _, html in newer)

    def _grow(self, text: str, thoughts: str, last: bool) -> tuple[list[str], list[str]]:
        for stream, more in ((self._blocks, text), (self._thought_blocks, thoughts)):
            if more:
                stream.feed(more)
            if last:
                stream.finish()
        return self._blocks.blocks, self._thought_blocks.blocks

    async def _save_often(self) -> None:
        """Store the text so far once a second, and end the turn if nobody wants it any more."""
        saved = 0
        while not self._reading.done():
            await asyncio.wait({self._reading}, timeout=CHECKPOINT_SECONDS)
            come = len(self._pieces) + len(self._thoughts)
            if self._reading.done():
                break
            try:
                wanted = await (self._wanted() if saved == come else self._checkpoint())
            except FAULTS:
                logger.warning("An answer could not be stored yet.", exc_info=True)
            else:
                saved = come
                if not wanted:
                    self.stop()

    async def _checkpoint(self) -> bool:
        return await database_sync_to_async(message_checkpoint)(
            message_id=self.message.pk, content=self.text, thinking=self.thinking
        )

    async def _wanted(self) -> bool:
        """Whether the answer is; nothing is written while nothing new has come."""
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
        return Ending(Status.INTERRUPTED if self._pieces or self._thoughts else Status.FAILED, error)

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
        try:
            await database_sync_to_async(turn_close)(message=self.message, **self._result())
        except FAULTS:
            logger.warning("How an answer ended could not be stored yet.", exc_info=True)
            self.message.status, self.message.error = Status.INTERRUPTED, NOT_SAVED
            return False
        return True

    def _result(self) -> dict[str, object]:
        return {
            "status": self.ending.status,
            "content": self.text,
            "thinking": self.thinking,
            "thinking_ns": int(self.live.thinking_seconds * 1e9),
            "usage": self._done.usage if self._done else Usage(completion=self.live.tokens),
            "timings": self._done.timings if self._done else self._timings(),
            "finish_reason": self._done.reason if self._done else "",
            "error": self.ending.error.message if self.ending.error else "",
        }

    def _timings(self) -> Timings:
        """As measured here: an answer that was cut short comes without the engine's own."""
        return Timings(total=int(self.live.seconds * 1e9), completion=int(self.live.writing_seconds * 1e9))
