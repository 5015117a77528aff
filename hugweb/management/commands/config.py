"""``manage.py config backup|list|restore|validate``: the configuration, kept and brought back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from aliases.backups import backup_list, backup_make, backup_restore, configuration_check
from aliases.exchange import Imported
from hugweb.database import database_prepare
from hugweb.management.command import HugWebCommand
from inference.errors import InferenceError


class Command(HugWebCommand):
    help = "Keep, list, restore and check the configuration: all aliases."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="backup|list|restore|validate")
        actions.add_parser("backup", help="keep all aliases as they are now")
        listing = actions.add_parser("list", help="list the backups, newest first")
        listing.add_argument("--json", action="store_true", help="print JSON")
        restore = actions.add_parser("restore", help="bring a backup back, and nothing else")
        restore.add_argument("name", help="as `config list` shows it")
        validate = actions.add_parser("validate", help="say whether a file would be taken")
        validate.add_argument("file", help="an export, or a registry.json")

    def handle(self, *args: Any, action: str, **given: Any) -> None:
        database_prepare(self.stderr.write)
        actions = {
            "backup": self._backup,
            "list": self._list,
            "restore": self._restore,
            "validate": self._validate,
        }
        try:
            actions[action](given)
        except InferenceError as error:
            raise CommandError(error.message) from error

    def _backup(self, given: dict[str, Any]) -> None:
        self.stdout.write(backup_make().name)

    def _list(self, given: dict[str, Any]) -> None:
        backups = backup_list()
        if given["json"]:
            entries = [backup._asdict() | {"made": backup.made.isoformat()} for backup in backups]
            self.stdout.write(json.dumps(entries, indent=2))
            return
        for each in backups:
            self.stdout.write(f"{each.name}  {each.made:%Y-%m-%d %H:%M}  {each.size} bytes")

    def _restore(self, given: dict[str, Any]) -> None:
        self._tell("Restored", backup_restore(given["name"]))

    def _validate(self, given: dict[str, Any]) -> None:
        self._tell("Would take", configuration_check(Path(given["file"]).expanduser()))

    def _tell(self, done: str, imported: Imported) -> None:
        self.stdout.write(f"{done} {len(imported.names)} aliases.")
        if imported.left_out:
            self.stderr.write(f"Left out: {', '.join(imported.left_out)}")
