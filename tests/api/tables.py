"""The tables of docs/ that say what becomes of each parameter, and the parameters that a client knows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from tests.serving import PROJECT


def rows(page: str, *headings: str) -> dict[str, str]:
    """What the tables under ``headings`` of ``page`` say of each name in their first column; of a name that
    is in several, the first heading's."""
    text = (PROJECT / "docs" / page).read_text()
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    return {
        name: told.strip()
        for heading in reversed(headings)
        for names, told in re.findall(r"^\|(.+?)\|(.+)\|$", sections[heading], re.MULTILINE)
        for name in re.findall(r"`(\w+)`", names)
    }


def parameters(kind: Any) -> set[str]:
    """The names that a typed dictionary of a client has."""
    assert _is_typed_dictionary(kind)
    return set(kind.__annotations__)


def kinds(union: Any) -> set[str]:
    """The values of ``type`` in a union of typed dictionaries."""
    return {value for member in _members(union) for value in _literals(get_type_hints(member)["type"])}


def _members(union: Any) -> Iterator[Any]:
    if get_origin(union) is Annotated:
        yield from _members(get_args(union)[0])
    elif get_origin(union) in (Union, UnionType):
        for each in get_args(union):
            yield from _members(each)
    elif _is_typed_dictionary(union):
        yield union


def _is_typed_dictionary(kind: Any) -> bool:
    # The clients' are those of typing_extensions, which typing does not know.
    return hasattr(kind, "__required_keys__")


def _literals(hint: Any) -> Iterator[str]:
    if get_origin(hint) is Literal:
        yield from get_args(hint)
    else:
        for each in get_args(hint):
            yield from _literals(each)
