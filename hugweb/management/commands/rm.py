"""``manage.py rm NAME …``: removes aliases; their models stay."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from aliases.services import alias_delete
from hugweb.database import database_prepare
from hugweb.management.command import HugWebCommand
from inference.errors import InferenceError, ModelNotFound
from inference.models import ModelRecord


class Command(HugWebCommand):
    help = "Remove aliases. Models stay."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("names", nargs="+", metavar="NAME", help="an alias")

    def handle(self, *args: Any, names: list[str], **given: Any) -> None:
        database_prepare(self.stderr.write)
        for name in names:
            try:
                alias_delete(name=name, along=names)
            except ModelNotFound as error:
                if ModelRecord.objects.filter(name__iexact=name).exists():
                    raise CommandError(f"'{name}' is a model; `rm` removes aliases.") from error
                raise CommandError(f"There is no alias '{name}'.") from error
            except InferenceError as error:
                raise CommandError(error.message) from error
            self.stdout.write(f"Removed {name}.")
