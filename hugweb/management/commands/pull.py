"""``pull``: takes a model onto this machine, from the Hub, from a folder, or the starter model.

Prints the model's name; steps and what was left out go to stderr. The work is in the services.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from rich.console import Console
from rich.text import Text

from hugweb.database import database_prepare
from hugweb.management.command import HugWebCommand
from hugweb.pull_display import pull_display
from hugweb.pull_orders import pull_order
from inference.errors import InferenceError
from inference.store.progress import Pulled
from inference.store.pull import pull_wait, pulled_of
from inference.store.services import model_take_folder

STOPPED = "Stopped; no model was taken in. What has arrived is kept: pulled again, it goes on from there."
USAGE = "Say what to pull: org/name[@revision], ./folder --name org/name, or starter."
NAMES_SHOWN = 20


class Command(HugWebCommand):
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
            pulled = _pull(source, name, console)
        except InferenceError as error:
            raise CommandError(error.message) from error
        except KeyboardInterrupt as error:
            raise CommandError(STOPPED, returncode=130) from error
        _tell(pulled, console)
        self.stdout.write(pulled.name)


def _pull(source: str, name: str | None, console: Console) -> Pulled:
    if not name and not source.startswith((".", "/", "~")):
        with pull_display(console) as show:
            return pull_wait(pull_order(source), show)
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise CommandError(f"There is no folder {source}. To pull from the Hub, leave --name out.")
    if not name:
        raise CommandError(f"Say what the model is to be called: pull {source} --name org/name.")
    with console.status(Text(f"Copying {source}")):
        return pulled_of(model_take_folder(folder=folder, name=name))


def _tell(pulled: Pulled, console: Console) -> None:
    if pulled.left_out:
        more = len(pulled.left_out) - NAMES_SHOWN
        names = ", ".join(pulled.left_out[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
        console.print(f"Left out (neither safetensors nor configuration): {names}")
    if not pulled.runs:
        console.print(f"This version of HugWeb cannot run models of this kind yet ({pulled.kind}).")
