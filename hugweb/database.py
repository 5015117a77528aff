"""The database as the commands find it: brought up to date before it is used, or what to do about it."""

from __future__ import annotations

from collections.abc import Callable

from django.core.management import call_command
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from inference.store.refresh import models_refresh
from inference.uncollected import uncollected

_DAMAGED = "Its file is damaged: put a copy of it back, or move it away to begin with a new one."
_NOT_OURS = "HUGWEB_HOME, or the folder that DATABASE_URL names, has to be one where you may write."
# By what SQLite says.
_ADVICE = {
    "is full": "Make room on its disk and start again.",
    "not a database": _DAMAGED,
    "malformed": _DAMAGED,
    "no such": _DAMAGED,
    "unable to open": _NOT_OURS,
    "readonly": _NOT_OURS,
    "is locked": "Another program holds it: wait for that or end it, and start again.",
}
_ADVICE_SERVER = "See to it that DATABASE_URL is right and its server runs, and start again."


def database_prepare(report: Callable[[str], object]) -> None:
    """Apply the migrations that are missing, and describe models again, if there is anything to do.

    ``report`` is told that it takes a moment.
    """
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        report("Preparing the database …")
        with uncollected():
            call_command("migrate", verbosity=0, interactive=False)
    models_refresh(report)


def database_problem(error: DatabaseError) -> str:
    """What is wrong, on one line, and what to do about it."""
    said = " ".join(str(error).split()).rstrip(".")
    if connection.vendor == "sqlite":
        advice = next((text for part, text in _ADVICE.items() if part in said), "")
    else:
        advice = _ADVICE_SERVER
    return f"The database cannot be used: {said}. {advice}".rstrip()
