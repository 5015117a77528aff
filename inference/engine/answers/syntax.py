"""What calls look like, in parts that a grammar is made of.

A string stands for itself, be it a mark or any other text.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from inference.protocol import Tool


@dataclass(frozen=True)
class Json:
    """JSON that validates against ``schema``."""

    schema: dict[str, Any]


@dataclass(frozen=True)
class Until:
    """Any text, and ``end`` where it comes first."""

    end: str


@dataclass(frozen=True)
class Maybe:
    """``parts`` in a row, or nothing."""

    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Either:
    """One of several texts."""

    texts: tuple[str, ...]


Part = str | Json | Until | Maybe | Either
Parts = tuple[Part, ...]


@dataclass(frozen=True)
class ThoughtSyntax:
    """What stands before a thought, after it, and before what is said then."""

    opening: Parts
    closing: Parts
    said: Parts = ()


class CallSyntax(ABC):
    """How one family of models writes calls."""

    @property
    @abstractmethod
    def marks(self) -> tuple[str, ...]:
        """What its calls are marked with, none of which is ever text."""

    @abstractmethod
    def call(self, tool: Tool) -> Parts:
        """A call of ``tool``."""

    def around(self) -> tuple[Parts, Parts | None, Parts]:
        """What stands before, between and after calls; ``None`` between where there is only one."""
        return (), None, ()
