"""``cache``: which models take which room on this disk, and how to get it back."""

from __future__ import annotations

import json as jsonlib
from typing import Any

from django.core.management.base import CommandError, CommandParser

from aliases.selectors import names_of
from hugweb.database import database_prepare
from hugweb.management.command import HugWebCommand
from hugweb.pull_display import size_text
from hugweb.tables import age_text, table_text
from inference.errors import InferenceError
from inference.models import ModelRecord
from inference.store.clearing import item_clear, leftovers_sweep
from inference.store.inventory import Item, inventory

EVERYTHING = ""
COLUMNS = ("MODEL", "PLACE", "REVISIONS", "SIZE", "LAST USED", "HELD BY", "")
DIGITS_SHOWN = 7
NOT_PULLED = "not taken in: pull takes it without a download"
GONE = "files are missing: pull it again, or clear it"
DAMAGED = "no complete revision: pull goes on with it"


class Command(HugWebCommand):
    help = "Show the models on this disk, or free their room."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        task = parser.add_mutually_exclusive_group(required=True)
        task.add_argument("--scan", action="store_true", help="show every model, and who needs it")
        task.add_argument(
            "--clear",
            nargs="?",
            const=EVERYTHING,
            metavar="MODEL",
            help="delete a model, or all of the Hub's cache that no alias stands for",
        )
        parser.add_argument("--json", action="store_true", help="show as JSON")
        parser.add_argument("--yes", action="store_true", help="do not ask")
        parser.add_argument("--force", action="store_true", help="also what an alias stands for")

    def handle(
        self, *args: Any, clear: str | None, json: bool, yes: bool, force: bool, **options: Any
    ) -> None:
        database_prepare(self.stderr.write)
        leftovers_sweep()
        items = inventory()
        try:
            if clear is None:
                self.stdout.write(_as_json(items) if json else _as_table(items))
            else:
                self._clear(items, clear, ask=not yes, force=force)
        except InferenceError as error:
            raise CommandError(error.message) from error

    def _clear(self, items: list[Item], name: str, *, ask: bool, force: bool) -> None:
        chosen = _chosen(items, name)
        held = [] if force else [item for item in chosen if _holders(item)]
        for item in held:
            self.stderr.write(f"{item.name} stays: {', '.join(_holders(item))} stands for it (--force).")
        chosen = [item for item in chosen if item not in held]
        if not chosen:
            if name:
                raise CommandError("Nothing was deleted.")
            self.stdout.write("There is nothing to delete.")
            return
        for item in chosen:
            self.stdout.write(f"{item.name}  {size_text(item.size)}")
        if ask:
            _ask(f"Delete {_count(chosen)}, {size_text(_size(chosen))}?")
        for item in chosen:
            item_clear(item)
        self.stdout.write(f"Deleted {_count(chosen)}, freed {size_text(_size(chosen))}.")


def _chosen(items: list[Item], name: str) -> list[Item]:
    """Everything called ``name``, or all that lies in the Hub's cache: that can be had again."""
    if not name:
        return [item for item in items if item.source == ModelRecord.Source.HUB]
    chosen = [item for item in items if item.name.lower() == name.lower()]
    if not chosen:
        raise CommandError(f"There is no model {name} on this machine. `cache --scan` shows what is there.")
    return chosen


def _ask(question: str) -> None:
    try:
        answer = input(f"{question} [y/N] ")
    except EOFError as error:
        raise CommandError("Nobody is there to answer. Nothing was deleted; --yes does not ask.") from error
    except KeyboardInterrupt as error:
        raise CommandError("Nothing was deleted.", returncode=130) from error
    if answer.strip().lower() not in {"y", "yes"}:
        raise CommandError("Nothing was deleted.")


def _holders(item: Item) -> list[str]:
    return names_of(item.record) if item.record else []


def _size(items: list[Item]) -> int:
    return sum(item.size for item in items)


def _count(items: list[Item]) -> str:
    return f"{len(items)} model{'' if len(items) == 1 else 's'}"


def _state(item: Item) -> str:
    if item.record is None:
        return NOT_PULLED if item.whole else DAMAGED
    return "" if item.whole else GONE


def _as_table(items: list[Item]) -> str:
    rows = [
        (
            item.name,
            item.source.value,
            ", ".join(revision[:DIGITS_SHOWN] for revision in item.revisions) or "–",
            size_text(item.size),
            age_text(item.last_used),
            ", ".join(_holders(item)) or "–",
            _state(item),
        )
        for item in items
    ]
    return f"{table_text(COLUMNS, rows)}\n\n{_count(items)}, {size_text(_size(items))}."


def _as_json(items: list[Item]) -> str:
    entries = [
        {
            "model": item.name,
            "place": item.source.value,
            "revisions": item.revisions,
            "size": item.size,
            "last_used": item.last_used.isoformat() if item.last_used else None,
            "held_by": _holders(item),
            "pulled": item.record is not None,
            "whole": item.whole,
        }
        for item in items
    ]
    return jsonlib.dumps(entries, indent=2)
