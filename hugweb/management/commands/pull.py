"""``pull``: takes a model onto this machine, from the Hub, from a folder, or the starter model.

Prints the model's name; steps and what was left out go to stderr. The work is in the services.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.text import Text

from hugweb.database import database_prepare
from hugweb.starter import starter_pull
from inference.errors import InferenceError
from inference.store.hub import Report, hub_pull
from inference.store.services import Taken, model_take_folder

STARTER = "starter"
USAGE = "Say what to pull: org/name[@revision], ./folder --name org/name, or starter."
NAMES_SHOWN = 20


class Command(BaseCommand):
    help = "Take a model onto this machine."
    # `manage.py check` makes them; pulling needs no web.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", nargs="?", help="org/name[@revision], ./folder, or starter")
        parser.add_argument("--name", help="org/name that a folder's model is to have")

    def handle(self, *args: Any, source: str | None, name: str | None, **options: Any) -> None:
        if not source:
            raise CommandError(USAGE)
        database_prepare(self.stderr.write)
        console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
        try:
            self.stdout.write(_pull(source, name, console))
        except InferenceError as error:
            raise CommandError(error.message) from error
        except KeyboardInterrupt as error:
            raise CommandError("Stopped; no model was taken in.", returncode=130) from error


def _pull(source: str, name: str | None, console: Console) -> str:
    """Pull and tell; the model's name."""
    with console.status(Text(f"Pulling {source}")) as status:

        def report(step: str) -> None:
            if console.is_terminal:
                status.update(Text(step))
            else:
                console.print(step)

        if source == STARTER and not name:
            return starter_pull(report).name
        taken = _take(source, name, report)
    _tell(taken, console)
    return taken.record.name


def _take(source: str, name: str | None, report: Report) -> Taken:
    if not name and not source.startswith((".", "/", "~")):
        model, _, revision = source.partition("@")
        return hub_pull(name=model, revision=revision or None, report=report)
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise CommandError(f"There is no folder {source}. To pull from the Hub, leave --name out.")
    if not name:
        raise CommandError(f"Say what the model is to be called: pull {source} --name org/name.")
    return model_take_folder(folder=folder, name=name)


def _tell(taken: Taken, console: Console) -> None:
    if taken.left_out:
        more = len(taken.left_out) - NAMES_SHOWN
        names = ", ".join(taken.left_out[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
        console.print(f"Left out (neither safetensors nor configuration): {names}")
    if not taken.kind.runs:
        console.print(f"This version of HugWeb cannot run models of this kind yet ({taken.kind.label}).")
