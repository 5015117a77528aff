"""``manage.py create``: an alias, from options, from a Modelfile, or many from a JSON file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from django.core.management.base import CommandError, CommandParser

from aliases.arguments import arguments_add, loading_given, options_given, template_given
from aliases.exchange import aliases_import
from aliases.modelfile_reader import modelfile_read
from aliases.services import Settings, alias_create
from hugweb.database import database_prepare
from hugweb.management.command import HugWebCommand
from inference.errors import InferenceError, ModelNotFound

LARGEST_FILE = 16 * 2**20


class Command(HugWebCommand):
    help = "Make an alias: a name for a model with its own defaults."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--alias", help="the name; an alias of that name is replaced")
        parser.add_argument("--model", help="a model's id, or another alias to begin with")
        parser.add_argument("--system", help="system prompt")
        parser.add_argument("--description", help="one line for people")
        parser.add_argument("--keep-alive", help="how long the model stays loaded, such as 5m; -1 for ever")
        parser.add_argument("--fallback", action="append", help="answers where the model cannot (repeatable)")
        parser.add_argument("--file", "-f", help="a Modelfile; options given besides it win")
        parser.add_argument("--registry", help="a registry.json, or an export: all of its aliases")
        arguments_add(parser)

    def handle(self, *args: Any, **given: Any) -> None:
        database_prepare(self.stderr.write)
        try:
            if given["registry"]:
                self._import(given["registry"])
            else:
                self._create(given)
        except ModelNotFound as error:
            raise CommandError(f"{error.message}. Get it with `manage.py pull`.") from error
        except InferenceError as error:
            raise CommandError(error.message) from error

    def _create(self, given: dict[str, Any]) -> None:
        if not given["alias"] or not (given["model"] or given["file"]):
            raise CommandError("Say what to make of what: --alias NAME and --model ID, or --file Modelfile.")
        source, settings = given["model"], Settings()
        if given["file"]:
            read = modelfile_read(_text(given["file"]))
            self._tell(read.left_out)
            source, settings = source or read.source, read.settings
        alias = alias_create(name=given["alias"], source=source, settings=_over(given, settings))
        self.stdout.write(alias.name)

    def _import(self, path: str) -> None:
        imported = aliases_import(_text(path))
        self._tell(imported.left_out)
        for name in imported.names:
            self.stdout.write(name)

    def _tell(self, left_out: tuple[str, ...]) -> None:
        if left_out:
            self.stderr.write(f"Left out, since it has no meaning here: {', '.join(left_out)}")


def _over(given: dict[str, Any], settings: Settings) -> Settings:
    """``settings`` with what the command line says."""
    named: dict[str, Any] = {
        name: given[name] for name in ("system", "description", "json_mode", "keep_alive") if given[name]
    }
    if given["fallback"]:
        named["fallbacks"] = tuple(given["fallback"])
    if template := template_given(given):
        named["template"] = template
    named |= loading_given(given)
    return msgspec.structs.replace(settings, options=options_given(given).over(settings.options), **named)


def _text(path: str) -> str:
    """What the file says; ``CommandError`` where it cannot be read."""
    file = Path(path).expanduser()
    try:
        if file.stat().st_size > LARGEST_FILE:
            raise CommandError(f"{path} is too large: at most {LARGEST_FILE} bytes are read.")
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} cannot be read as text.") from error
