"""A PostgreSQL server of the tests' own, out of the system's package."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from django.core.management import call_command
from django.db import connection, connections

from hugweb.settings import database
from tests.serving import eventually

# Debian keeps each version in a folder of its own, which is not on the path.
INITDB = shutil.which("initdb") or next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))), None)
# PostgreSQL refuses to be root.
USER = "postgres" if os.geteuid() == 0 else None

T = TypeVar("T")


@contextmanager
def postgres() -> Iterator[Path]:
    """The folder with the socket of a server without databases, until the block ends."""
    assert INITDB
    folder = Path(tempfile.mkdtemp(prefix="hugweb-postgres-"))
    if USER:
        shutil.chown(folder, USER)
    data = str(folder / "data")
    made = [INITDB, "-D", data, "-U", "tests", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
    subprocess.run(made, user=USER, check=True, capture_output=True, cwd=folder, timeout=240)
    # Only a socket in the folder, so that no port has to be found.
    command = [
        str(Path(INITDB).with_name("postgres")),
        "-D",
        data,
        "-k",
        str(folder),
        "-c",
        "listen_addresses=",
        "-F",
    ]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, user=USER, cwd=folder, stderr=log, stdout=log)
    try:
        eventually(lambda: _answers(folder), (folder / "log").read_text)
        yield folder
    finally:
        # "Fast": without waiting for clients to leave.
        server.send_signal(signal.SIGINT)
        server.wait(30)
        shutil.rmtree(folder)


def new_database(folder: Path) -> str:
    """The ``DATABASE_URL`` of a new, empty database on the server whose socket is in ``folder``."""
    name = f"hugweb_{secrets.token_hex(6)}"
    with _connect(folder) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgres://tests@/{folder}/{name}"


@contextmanager
def at_hand(folder: Path) -> Iterator[None]:
    """A new database on that server, with our tables, is this process's own until the block ends.

    Only for threads that begin in the block, and the one that is in it.
    """
    before, settings = connections["default"], connections.settings["default"]
    entry = {"default": database(new_database(folder))}
    connections.settings["default"] = connections.configure_settings(entry)["default"]
    del connections["default"]
    try:
        call_command("migrate", verbosity=0)
        yield
    finally:
        connection.close()
        connections["default"].close_pool()
        connections.settings["default"], connections["default"] = settings, before


def aside(work: Callable[[], T]) -> Future[T]:
    """``work``, done in a thread with a connection of its own."""

    def do() -> T:
        try:
            return work()
        finally:
            connection.close()

    thread = ThreadPoolExecutor(1)
    doing = thread.submit(do)
    thread.shutdown(wait=False)
    return doing


def wait_for_locks(*works: Future[Any]) -> None:
    """Returns when each of ``works`` waits for what another transaction holds; fails if one has ended."""

    def are_seen() -> bool:
        assert not any(work.done() for work in works), "did not wait"
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted")
            return cursor.fetchone() == (len(works),)

    eventually(are_seen, lambda: "not all wait")


def _connect(folder: Path) -> psycopg.Connection:
    return psycopg.connect(host=str(folder), user="tests", dbname="postgres", autocommit=True)


def _answers(folder: Path) -> bool:
    try:
        _connect(folder).close()
    except psycopg.OperationalError:
        return False
    return True
