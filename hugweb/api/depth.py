"""How deep what clients send may be nested: deeper than anybody needs is refused, since whatever looks at
each level calls itself, and nobody knows how much of the stack is left there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from inference.errors import InvalidRequest

DEEPEST = 32


def is_deep(value: Any) -> bool:
    """Whether lists and objects are nested deeper than ``DEEPEST``; level by level, since what calls itself
    for each runs out of stack before msgspec does."""
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in _inside(outer)]
    return bool(level)


def arguments_checked(arguments: dict[str, Any], param: str | None = None) -> dict[str, Any]:
    """The ``arguments`` of a call; ``InvalidRequest`` for those that are nested too deeply."""
    if is_deep(arguments):
        raise InvalidRequest(
            f"The arguments of a tool call are nested too deeply: at most {DEEPEST} levels.", param=param
        )
    return arguments


def _inside(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
