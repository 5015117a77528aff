"""A chat in a terminal: what is said, how it is asked, and how the answer is shown.

Plain text when the output is not a terminal; only answers go to it, everything else to stderr.
Knows nothing of where the events come from, and nothing of what people type (``hugweb.repl``).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.status import Status

from aliases.answering import events_of
from aliases.target import Target
from hugweb.interrupts import run_until_ctrl_c
from hugweb.pictures import pictures_taken
from hugweb.transcript import transcript_save
from inference.errors import Unsupported
from inference.protocol import (
    Done,
    Event,
    Events,
    FellBack,
    Generate,
    Loading,
    Message,
    ModelRef,
    Noted,
    Options,
    Queued,
    Reading,
    Request,
    Text,
    Thought,
)


@dataclass
class TerminalChat:
    """One session with ``target``, by its defaults until they are changed.

    ``first`` are the alias's own messages, ``history`` what was said, stored in ``file`` if there is
    one. ``stats`` says whether each answer is followed by its figures.
    """

    target: Target
    model: ModelRef = field(init=False)
    options: Options = field(init=False)
    system: str = field(init=False)
    format: str = field(init=False)
    template: str = field(init=False)
    keep_alive: float | None = field(init=False)
    first: tuple[Message, ...] = field(init=False)
    history: list[Message] = field(init=False)
    stats: bool = False
    file: Path | None = None
    console: Console = field(default_factory=lambda: Console(highlight=False))
    aside: Console = field(default_factory=lambda: Console(highlight=False, stderr=True))

    def __post_init__(self) -> None:
        self.become(self.target)

    def become(self, target: Target) -> None:
        """Go on with another model, by its own defaults and from the beginning."""
        self.target = target
        self.model, self.options, self.system = target.model, target.options, target.system
        self.format, self.keep_alive, self.first = target.format, target.keep_alive, target.messages
        self.template, self.history = target.template, []

    @property
    def sees(self) -> bool:
        """Whether the model takes pictures."""
        return "vision" in self.target.capabilities

    def stream(self, request: Request) -> Events:
        """The events of ``request``."""
        return events_of(self.target, request)

    def answer(self, said: str, pictures: tuple[bytes, ...] = ()) -> None:
        """One answer to ``said`` and ``pictures``; its error is raised."""
        with asyncio.Runner() as runner:
            run_until_ctrl_c(self.turn(said, pictures), runner)

    async def turn(self, said: str, pictures: tuple[bytes, ...] = ()) -> None:
        """Stream the answer; what was shown of it is remembered however it ends."""
        if pictures and not self.target.takes_pictures:
            raise Unsupported(f"'{self.model.name}' does not support images.")
        if self.sees:
            said, more = pictures_taken(said)
            pictures += more
        self.history.append(Message(role="user", content=said, images=pictures))
        shown: list[str] = []
        try:
            await self._show_all(shown)
        finally:
            self.history.append(Message(role="assistant", content="".join(shown)))
            if self.file:
                transcript_save(self.file, [*self._system(), *self.history])

    def _system(self) -> list[Message]:
        return [Message(role="system", content=self.system)] if self.system else []

    def _request(self) -> Generate:
        return Generate(
            model=self.model,
            messages=(*self._system(), *self.first, *self.history),
            options=self.options,
            format=self.format,
            template=self.template,
            keep_alive=self.keep_alive,
        )

    async def _show_all(self, shown: list[str]) -> None:
        began, first, done = time.monotonic(), None, None
        with self.console.status("Waiting for the engine…") as status:
            async with contextlib.aclosing(self.stream(self._request())) as events:
                async for event in events:
                    if isinstance(event, Text | Thought):
                        first = first or time.monotonic()
                    self._show(event, status, shown)
                    done = event if isinstance(event, Done) else done
        self.console.print()
        if done and self.stats:
            self.aside.print(_figures(done, (first or time.monotonic()) - began), style="dim", soft_wrap=True)

    def _show(self, event: Event, status: Status, shown: list[str]) -> None:
        if isinstance(event, Text):
            status.stop()
            shown.append(event.text)
            self.console.print(event.text, end="", markup=False, soft_wrap=True)
        elif isinstance(event, Thought):
            status.stop()
            self.aside.print(event.text, end="", style="dim", markup=False, soft_wrap=True)
        elif isinstance(event, FellBack):
            self.aside.print(f"{event.reason} {event.model} answers.", style="dim", markup=False)
        elif isinstance(event, Noted):
            self.aside.print(event.note, style="dim", markup=False)
        elif phase := _phase(event, self.model.name):
            status.update(phase)


def _figures(done: Done, first: float) -> str:
    """Tokens, tokens a second, and seconds to the first token."""
    usage, seconds = done.usage, done.timings.completion / 1e9
    rate = f", {usage.completion / seconds:.1f} tokens/s" if seconds else ""
    cached = f", {usage.cached} of them known" if usage.cached else ""
    return (
        f"{usage.completion} tokens{rate}, first token after {first:.2f} s,"
        f" prompt of {usage.prompt} tokens{cached}"
    )


def _phase(event: Event, name: str) -> str:
    """What to say while there is no text yet."""
    match event:
        case Queued(position=position):
            return f"Waiting in line, place {position}…"
        case Loading(seconds=seconds):
            return f"Loading {name}… {seconds:.0f} s"
        case Reading(done=done, total=total):
            return f"Reading… {done} of {total} tokens"
    return ""
