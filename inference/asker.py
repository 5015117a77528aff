"""Who asks: carried beside a request, from the door to whoever counts, limits and keeps apart.

The door that lets a request in says who it is (``asking``); everything behind it, in the same task
or in tasks and threads that it starts, can read it (``asker``). Standard library only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

Source = Literal["ollama", "openai", "anthropic", "page", "admin", "rest", "command"]


@dataclass(frozen=True)
class Asker:
    """``user`` and ``key`` are primary keys, None where nobody had to say who they are.

    ``models`` are the only names that may be asked for, in lower case; empty for any. ``most_bytes``
    is how long a body may be, where the key has a limit of its own.
    """

    source: Source = "command"
    user: int | None = None
    key: int | None = None
    models: tuple[str, ...] = ()
    most_bytes: int | None = None

    @property
    def owner(self) -> str:
        """Whom the engine keeps what it has read for; empty for whoever is at this machine."""
        return owner_of(self.user) if self.user is not None else ""


def owner_of(user: int) -> str:
    """The engine's name for the user whose primary key is ``user``."""
    return f"user {user}"


_asker: ContextVar[Asker] = ContextVar("asker", default=Asker())  # noqa: B039 (it is frozen)


def asker() -> Asker:
    """Who asks for what is being done."""
    return _asker.get()


@contextmanager
def asking(who: Asker) -> Iterator[None]:
    """What is done inside is done for ``who``."""
    token = _asker.set(who)
    try:
        yield
    finally:
        _asker.reset(token)
