"""``manage.py show NAME``: what an alias or model is, for people, as a Modelfile or as JSON."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from django.core.management.base import CommandError, CommandParser
from rich.console import Console
from rich.table import Table

from aliases.exchange import alias_described
from aliases.modelfile import modelfile_text
from aliases.selectors import alias_resolve
from aliases.target import Target
from hugweb.database import database_prepare
from hugweb.management.command import HugWebCommand
from inference.errors import InferenceError
from inference.store.contents import template_of


class Command(HugWebCommand):
    help = "Show what an alias or model is."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="an alias or a model's id")
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--modelfile", action="store_true", help="as Ollama writes it")
        form.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, name: str, modelfile: bool, **given: Any) -> None:
        database_prepare(self.stderr.write)
        try:
            target = alias_resolve(name)
        except InferenceError as error:
            raise CommandError(error.message) from error
        if modelfile:
            license = target.alias.license if target.alias else ""
            template = target.template or template_of(target.record.path)
            self.stdout.write(modelfile_text(target, template, license))
        elif given["json"]:
            self.stdout.write(json.dumps(_described(target), indent=2))
        else:
            _print(_described(target))


def _described(target: Target) -> dict[str, Any]:
    """The alias's own words, then what it comes to."""
    record = target.record
    return {
        "name": target.model.name,
        **({"alias": alias_described(target.alias)} if target.alias else {}),
        "model": record.name,
        "revision": record.revision,
        "architecture": record.architecture,
        "capabilities": target.capabilities,
        "parameters": record.parameters,
        "context_length": record.context_length,
        "size": record.size,
        "dtype": record.dtype,
        "quantization": target.model.quantization,
        "load": {"dtype": target.model.dtype, "device": target.model.device},
        "template": target.template,
        "fallbacks": target.fallbacks,
        "keep_alive": target.keep_alive,
        "system": target.system,
        "options": msgspec.to_builtins(target.options),
        "format": target.format,
    }


def _print(described: dict[str, Any]) -> None:
    table = Table.grid(padding=(0, 2))
    for name, value in described.items():
        if name != "alias" and value not in ("", {}, [], None):
            shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            table.add_row(name.replace("_", " "), shown)
    Console(markup=False, highlight=False, soft_wrap=True).print(table)
