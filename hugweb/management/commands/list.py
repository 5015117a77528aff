"""``list``: aliases, models on this machine, and models that could be."""

from __future__ import annotations

import json as jsonlib
from typing import Any

from django.core.management.base import CommandParser

from aliases.models import Alias
from hugweb.api.ollama.listing import human_number
from hugweb.database import database_prepare
from hugweb.management.command import HugWebCommand
from hugweb.pull_display import size_text
from hugweb.tables import table_text
from inference.machine import Machine
from inference.models import ModelRecord
from inference.store.estimate import Fit, record_fit
from inference.store.popular import popular_fitting
from inference.store.room import empty_machine

Entries = list[dict[str, Any]]

NO_ALIASES = "No aliases. `manage.py pull starter` gets a small model, `list --all` shows others."
LOADED = {"none": "as it is", "int8": "in 8 bits", "int4": "in 4 bits"}


class Command(HugWebCommand):
    help = "List aliases; with --models the models behind them, with --all also popular ones that fit."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--models", action="store_true", help="also the models on this machine")
        parser.add_argument("--all", action="store_true", help="also popular models that fit")
        parser.add_argument("--json", action="store_true", help="as JSON")

    def handle(self, *args: Any, models: bool, json: bool, **options: Any) -> None:
        database_prepare(self.stderr.write)
        found = {"aliases": _aliases()}
        if models or options["all"]:
            machine = empty_machine()
            found["models"] = _models(machine)
        if options["all"]:
            found["popular"] = _popular(machine)
        if json:
            self.stdout.write(jsonlib.dumps(found, indent=2))
            return
        tables = [TABLES[name](entries) for name, entries in found.items()]
        self.stdout.write("\n\n".join(tables))


def _aliases() -> Entries:
    sizes = {record.name.lower(): record.size for record in ModelRecord.objects.all()}
    return [
        {
            "name": alias.name,
            "model": alias.model,
            "quantization": alias.quantization,
            "dtype": alias.dtype,
            "device": alias.device,
            "size": sizes.get(alias.model.lower()),
            "description": alias.description,
        }
        for alias in Alias.objects.all()
    ]


def _models(machine: Machine) -> Entries:
    return [
        {
            "name": record.name,
            "kind": record.kind,
            "capabilities": record.capabilities,
            "parameters": record.parameters,
            "dtype": record.dtype,
            "size": record.size,
            "memory": record.memory,
            **_fit(record_fit(record, machine)),
            "context_length": record.context_length,
            "license": record.license,
            "last_used": record.last_used.isoformat() if record.last_used else None,
            "modified": record.modified.isoformat(),
        }
        for record in ModelRecord.objects.order_by("name")
    ]


def _popular(machine: Machine) -> Entries:
    here = {name.lower() for name in ModelRecord.objects.values_list("name", flat=True)}
    return [
        {
            "name": model.name,
            "kind": model.kind.label,
            "parameters": model.parameters,
            **_fit(fit),
            "line": model.line,
        }
        for model, fit in popular_fitting(machine)
        if model.name.lower() not in here
    ]


def _fit(fit: Fit) -> dict[str, Any]:
    return {"fits": fit.fits, "quantization": fit.quantization, "memory": fit.needed}


def _fit_text(entry: dict[str, Any]) -> str:
    needed = size_text(entry["memory"])
    return f"{LOADED[entry['quantization']]}, about {needed}" if entry["fits"] else f"no, needs {needed}"


def _alias_table(entries: Entries) -> str:
    rows = [
        (
            entry["name"],
            entry["model"],
            LOADED[entry["quantization"]],
            "not here" if entry["size"] is None else size_text(entry["size"]),
            entry["description"],
        )
        for entry in entries
    ]
    return table_text(("ALIAS", "MODEL", "LOADED", "SIZE", "DESCRIPTION"), rows) if rows else NO_ALIASES


def _model_table(entries: Entries) -> str:
    rows = [
        (
            entry["name"],
            entry["kind"] or "–",
            human_number(entry["parameters"]),
            size_text(entry["size"]),
            _fit_text(entry),
            entry["license"] or "–",
        )
        for entry in entries
    ]
    columns = ("MODEL", "KIND", "PARAMETERS", "SIZE", "FITS", "LICENSE")
    return table_text(columns, rows) if rows else "No models. `manage.py pull starter` gets a small one."


def _popular_table(entries: Entries) -> str:
    rows = [
        (
            entry["name"],
            entry["kind"] or "–",
            human_number(entry["parameters"]),
            _fit_text(entry),
            entry["line"],
        )
        for entry in entries
    ]
    return table_text(("TO PULL", "KIND", "PARAMETERS", "FITS", "GOOD FOR"), rows)


TABLES = {"aliases": _alias_table, "models": _model_table, "popular": _popular_table}
