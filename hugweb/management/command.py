"""What our commands have in common: who calls one wrongly is told in one line, as of every other error."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser


class HugWebCommand(BaseCommand):
    """A command whose wrong arguments end it with exit code 1 and one line, without Django's usage."""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        # As if called by a program: the parser, and those of its subcommands, raise then and do not exit.
        self._called_from_command_line = False
        return super().create_parser(prog_name, subcommand, **kwargs)

    def run_from_argv(self, argv: list[str]) -> None:
        try:
            super().run_from_argv(argv)
        except CommandError as error:
            if "--traceback" in argv:
                raise
            problem = str(error).removeprefix("Error: ")
            sys.exit(f"CommandError: {problem}. `manage.py {argv[1]} --help` tells what is allowed.")
