"""``manage.py stop NAME``: lets a model go, at once or as soon as nobody uses it."""

from __future__ import annotations

import asyncio
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from aliases.selectors import alias_resolve
from aliases.target import Target
from hugweb.api.generation import begin, fold
from hugweb.database import database_prepare
from hugweb.management.command import HugWebCommand
from hugweb.management.commands.ps import running_provider
from inference.errors import InferenceError
from inference.protocol import Unload


class Command(HugWebCommand):
    help = "Let a model go out of memory."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("model", help="an alias or a model's id")

    def handle(self, *args: Any, **given: Any) -> None:
        database_prepare(self.stderr.write)
        try:
            target = alias_resolve(given["model"], to_ask=False)
            asyncio.run(_unload(target))
        except InferenceError as error:
            raise CommandError(error.message) from error


async def _unload(target: Target) -> None:
    """Let the model go, however it is loaded."""
    provider = await running_provider()
    await fold(await begin(provider.stream(Unload(model=target.model, every=True))))
