"""An answer as its events bring it: text, thoughts, notes, and the last event with its figures.

Folds each event into itself, into what readers see of it (``live``), and into the row that it will be.
Stores nothing; knows nothing of tasks and of how an answer ends.
"""

from __future__ import annotations

from typing import Any

from conversations.answer import LiveAnswer, Phase
from conversations.renderer import Renderer
from conversations.services import OpenedTurn
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


class Draft:
    """The answer of ``opened``, shown on ``live`` by ``renderer``."""

    def __init__(self, opened: OpenedTurn, live: LiveAnswer, renderer: Renderer) -> None:
        self._target = opened.target
        self._message = opened.answer
        self._live = live
        self._renderer = renderer
        self._pieces: list[str] = []
        self._thoughts: list[str] = []
        self._done: Done | None = None

    @property
    def text(self) -> str:
        """All that has been written so far."""
        return "".join(self._pieces)

    @property
    def thinking(self) -> str:
        """All that has been thought so far."""
        return "".join(self._thoughts).strip()

    @property
    def size(self) -> int:
        """Pieces of text and thoughts that have come."""
        return len(self._pieces) + len(self._thoughts)

    def fold(self, event: Event) -> None:
        """Take ``event`` in."""
        match event:
            case Queued(position=position):
                self._live.enter(Phase(name="queued", position=position))
            case Loading():
                self._live.enter(Phase(name="loading"))
            case Reading(done=done, total=total) if not self.size:
                self._live.enter(Phase(name="reading", done=done, total=total))
            case Text(text=text, tokens=tokens):
                self._pieces.append(_storable(text))
                self._live.count(tokens)
                self._renderer.add(self._pieces[-1])
            case Thought(text=text, tokens=tokens):
                self._thoughts.append(_storable(text))
                self._live.count_thought(tokens)
                self._renderer.add_thought(self._thoughts[-1])
            case FellBack(model=model, provider=provider):
                asked = self._target.missing or self._target.record.name
                self._note(f"{asked} could not answer, so {model} did.")
                self._message.model, self._message.model_provider = model, provider
            case Noted(note=note):
                self._note(note)
            case Done():
                self._done = event

    def result(self) -> dict[str, Any]:
        """What is stored of the answer, as far as it has come."""
        done = self._done
        return {
            "content": self.text,
            "thinking": self.thinking,
            "thinking_ns": int(self._live.thinking_seconds * 1e9),
            "usage": done.usage if done else Usage(completion=self._live.tokens),
            "timings": done.timings if done else self._timings(),
            "finish_reason": done.reason if done else "",
        }

    def _timings(self) -> Timings:
        """As measured here: an answer that was cut short comes without the engine's own."""
        return Timings(total=int(self._live.seconds * 1e9), completion=int(self._live.writing_seconds * 1e9))

    def _note(self, note: str) -> None:
        self._message.note = f"{self._message.note} {note}".strip()


def _storable(text: str) -> str:
    """``text`` without the one character that PostgreSQL's texts cannot hold."""
    return text.replace("\x00", "\ufffd")
