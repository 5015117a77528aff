"""The database as the commands find it: brought up to date before it is used."""

from __future__ import annotations

from collections.abc import Callable

from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from inference.store.refresh import models_refresh


def database_prepare(report: Callable[[str], object]) -> None:
    """Apply the migrations that are missing, and describe models again, if there is anything to do.

    ``report`` is told that it takes a moment.
    """
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        report("Preparing the database …")
        call_command("migrate", verbosity=0, interactive=False)
    models_refresh(report)
