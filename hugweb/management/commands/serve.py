"""``manage.py serve``: web and engine, one command; Ctrl-C stops both."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError, connection

from aliases.watch import AliasFile
from hugweb.compiling import compile_begin
from hugweb.database import database_prepare, database_problem
from hugweb.leftovers import leftovers_mark
from hugweb.listen import CannotListen, bind, listen, url_of
from hugweb.lock import HomeInUse, locked
from hugweb.management.command import HugWebCommand
from hugweb.owner import first_owner, login_address
from hugweb.pull_display import Lines
from hugweb.pull_orders import STARTER, pull_order
from hugweb.settings import is_private
from hugweb.starter import starter_missing
from hugweb.supervise import EngineSupervisor
from hugweb.sweeping import sweep_daily
from inference.errors import InferenceError
from inference.store.clearing import leftovers_sweep
from inference.store.inventory import records_gone
from inference.store.pull import pull_wait
from inference.usage.recorder import RECORDER

READY = "\nHugWeb is ready. Ctrl-C stops it.\n\n  Chat    {url}/chat/\n"
LOGIN = "  Log in  {address}\n          This address works once. Every start prints a new one.\n"
API = "  API     {url} (Ollama's), {url}/v1 (OpenAI's)\n"


class Command(HugWebCommand):
    help = "Start HugWeb: the web server and the engine."
    # `manage.py check` makes them; here they would only make each start slower.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default=settings.HOST, help="address to listen on")
        parser.add_argument("--port", default=settings.PORT, type=int, help="port to listen on, 0 for any")

    def handle(self, *args: Any, host: str, port: int, **options: Any) -> None:
        try:
            self._start(host, port)
        except (CannotListen, HomeInUse) as error:
            raise CommandError(str(error)) from error
        except DatabaseError as error:
            raise CommandError(database_problem(error)) from error
        except KeyboardInterrupt as error:
            raise CommandError("Stopped before it was ready.", returncode=130) from error
        # A sync view that is still in its thread would hold the exit for as long as it likes.
        logging.shutdown()
        sys.stdout.flush()
        os._exit(0)

    def _start(self, host: str, port: int) -> None:
        os.umask(0o077)
        listener = bind(host, port)
        settings.HOST, settings.PORT = host, listener.getsockname()[1]
        settings.ON_LOOPBACK = is_private(host)
        settings.DEBUG = settings.DEBUG and settings.ON_LOOPBACK
        with locked(settings.HOME):
            database_prepare(self.stdout.write)
            self._need_a_user()
            self._look_at_the_disk()
            self._get_starter()
            leftovers_mark(settings.HOME)
            sweep_daily()
            self._serve(listener)

    def _need_a_user(self) -> None:
        if not settings.ON_LOOPBACK and not User.objects.exists():
            raise CommandError(
                f"{settings.PUBLIC_ORIGIN or settings.HOST} can be reached from other machines, and there is"
                " no user who could log in. Run `manage.py createsuperuser` first."
            )

    def _get_starter(self) -> None:
        if not starter_missing():
            return
        try:
            pull_wait(pull_order(STARTER), Lines(self.stdout.write).show)
        except InferenceError as error:
            self.stderr.write(f"There is no starter model: {error.message}")

    def _look_at_the_disk(self) -> None:
        leftovers_sweep()
        for record in records_gone():
            self.stderr.write(
                f"The files of {record.name} are missing. Pull it again, or run "
                f"`manage.py cache --clear {record.name}`."
            )

    def _serve(self, listener: socket.socket) -> None:
        engine = None if settings.ENGINE_ADDRESS else EngineSupervisor()
        announce = self._announcer()
        connection.close()
        if engine:
            engine.start()
        try:
            # While the engine starts. These bring the event loop with them.
            from conversations.turns import TURNS
            from hugweb.asgi import application
            from hugweb.drain import DRAIN
            from hugweb.server import Server
            from inference.store.pulls import PULLS

            DRAIN.watch(TURNS)
            DRAIN.watch(PULLS)
            listen(listener)
            with RECORDER.running(), _aliases_followed():
                Server(application, listener, DRAIN, engine, announce).run()
        finally:
            if engine:
                engine.stop()

    def _announcer(self) -> Callable[[], None]:
        """Prints where the server is. The text is made beforehand: the event loop may not query."""
        url = url_of(settings.HOST, settings.PORT)
        text = READY.format(url=url)
        if settings.ON_LOOPBACK:
            owner = first_owner()
            text += LOGIN.format(address=login_address(owner, url)) if owner else ""
            text += API.format(url=url)

        def announce() -> None:
            self.stdout.write(text)
            compile_begin()

        return announce


@contextmanager
def _aliases_followed() -> Iterator[None]:
    """The file of aliases is followed inside, if the settings name one."""
    if settings.ALIASES_FILE is None:
        yield
        return
    with AliasFile(settings.ALIASES_FILE).followed():
        yield
