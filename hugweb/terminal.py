"""A chat in the terminal: asks, streams the answer, remembers both while the session lasts.

Ctrl-C during an answer stops the answer; at the prompt it, Ctrl-D and ``/bye`` end the session.
Plain text when the output is not a terminal. Knows nothing of where the events come from.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from rich.console import Console
from rich.status import Status

from inference.errors import InferenceError
from inference.protocol import (
    Event,
    Events,
    Generate,
    Loading,
    Message,
    ModelRef,
    Options,
    Queued,
    Reading,
    Request,
    Text,
)

Stream = Callable[[Request], Events]

GOODBYES = frozenset({"/bye", "/exit", "/quit"})
PROMPT = ">>> "


@dataclass
class TerminalChat:
    """One session with ``model``; ``stream`` answers its requests."""

    stream: Stream
    model: ModelRef
    options: Options
    system: str = ""
    console: Console = field(default_factory=lambda: Console(highlight=False))
    history: list[Message] = field(default_factory=list)

    def run(self) -> None:
        """Ask and answer until the person has had enough."""
        self.console.print(f"[dim]Chatting with {self.model.name}. /bye ends, Ctrl-C stops an answer.[/dim]")
        with asyncio.Runner() as runner:
            while (said := self._ask()) not in GOODBYES:
                if said:
                    self._turn(runner, said)

    def answer(self, said: str) -> None:
        """One answer to ``said``; its error is raised."""
        asyncio.run(self._answer(said))

    def _ask(self) -> str:
        try:
            return input(PROMPT if self.console.is_terminal else "").strip()
        except (EOFError, KeyboardInterrupt):
            self.console.print()
            return "/bye"

    def _turn(self, runner: asyncio.Runner, said: str) -> None:
        try:
            runner.run(self._answer(said))
        except KeyboardInterrupt:
            self.console.print("\n[dim]Stopped.[/dim]")
        except InferenceError as error:
            self.console.print(error.message, style="red", markup=False)

    async def _answer(self, said: str) -> None:
        """Stream the answer; what was shown of it is remembered however it ends."""
        self.history.append(Message(role="user", content=said))
        system = [Message(role="system", content=self.system)] if self.system else []
        request = Generate(model=self.model, messages=(*system, *self.history), options=self.options)
        shown: list[str] = []
        try:
            with self.console.status("Waiting for the engine…") as status:
                async with contextlib.aclosing(self.stream(request)) as events:
                    async for event in events:
                        self._show(event, status, shown)
        finally:
            self.history.append(Message(role="assistant", content="".join(shown)))
        self.console.print()

    def _show(self, event: Event, status: Status, shown: list[str]) -> None:
        if isinstance(event, Text):
            status.stop()
            shown.append(event.text)
            self.console.print(event.text, end="", markup=False, soft_wrap=True)
        elif phase := _phase(event, self.model.name):
            status.update(phase)


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
