"""The model picker of the chat: what can be asked, and whether it fits into this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from conversations.selectors import ModelChoices
from inference.store.estimate import record_fit
from inference.store.room import empty_machine


@dataclass(frozen=True)
class Option:
    """A name to choose. ``fit`` is the verdict in words, ``sees`` whether it can be shown pictures."""

    name: str
    fit: str
    sees: bool


Group = tuple[str, Sequence[Option]]


def picker_groups(choices: ModelChoices) -> list[Group]:
    """The options under their headings; groups without any are left out."""
    options = {option.name: option for option in _options(choices)}
    groups = (("Aliases", choices.aliases), ("Models", choices.models))
    return [(heading, [options[name] for name in names]) for heading, names in groups if names]


def _options(choices: ModelChoices) -> Iterator[Option]:
    machine = empty_machine()
    for name, (record, quantization) in choices.loads.items():
        fit = record_fit(record, machine).verdict_as(quantization)
        yield Option(name, fit, name in choices.seeing)
